import { sleep, type Clock } from '../../clock.ts'
import { traceOf, type Logger } from '../../logger.ts'
import { ServerAway } from './call-faults.ts'
import { Connection } from './connection.ts'
import { redact } from '../../secrets.ts'
import { secretsOf, type McpSettings } from './options.ts'
import { loadSdk } from './sdk.ts'
import type { ToolList } from './tool-list.ts'

export interface ServerLinkOptions {
  settings: McpSettings
  logger: Logger
  clock: Clock
  /** Called with each new list, before anybody who waits for it goes on. */
  onTools: (list: ToolList) => void
}

const firstPauseMs = 200
/** How long a step waits for a server that was away from the start. */
const latePatienceMs = 1_000
const longestPauseMs = 30_000
/** A connection that lasted this long was a good one: the next try starts at once. */
const goodMs = 10_000
/** A server that says again and again that its tools are others is asked no more often… */
const relistPauseMs = 1_000
/** …and is given no more than a small part of the time, however long its list is: pauses are this many times as long as reading. */
const relistPauseFactor = 10
const longestRelistPauseMs = 60_000
const maxNoticeChars = 500

/** Keeps one server at hand: connects, lists, notices that it is gone, connects again, until it is closed. */
export class ServerLink {
  readonly #options: ServerLinkOptions
  readonly #secrets: readonly string[]
  readonly #closing = new AbortController()
  readonly #connections = new Set<Connection>()
  readonly #openedAt: number
  readonly #keeping: Promise<void>
  #current: Connection | undefined
  #hasTools = false
  #failures = 0
  #isLegacyProgram = false
  #listing: { connection: Connection; again: boolean } | undefined
  /** Said that its tools are others before its first list had been read. */
  #changedEarly: Connection | undefined
  /** No list is read again before. */
  #nextListAt = -Infinity
  /** Somebody waits for the server: the pause between tries is cut short. */
  #isWanted = false
  #wake: (() => void) | undefined
  #change = Promise.withResolvers<void>()

  constructor(options: ServerLinkOptions) {
    this.#options = options
    this.#secrets = secretsOf(options.settings)
    this.#openedAt = options.clock.monotonic()
    this.#keeping = this.#keep()
  }

  /**
   * Resolves when there is a list. From the start on `connectTimeoutMs` are waited for one; after that no longer than the
   * next try to connect and a second, because every step of every run waits. Rejects with `ServerAway`.
   */
  async listed(signal: AbortSignal): Promise<void> {
    const { clock, settings } = this.#options
    const failuresBefore = this.#failures
    const leftMs = settings.connectTimeoutMs - (clock.monotonic() - this.#openedAt)
    const isUp = await this.#until({
      signal,
      ms: Math.min(settings.connectTimeoutMs, Math.max(leftMs, latePatienceMs)),
      isSo: () => this.#hasTools,
      isHopeless: () => leftMs <= 0 && this.#failures > failuresBefore,
    })
    if (!isUp) throw new ServerAway(settings.name)
  }

  /** The connection there is, or the next within `connectTimeoutMs`. Rejects with `ServerAway`. */
  async connection(signal: AbortSignal): Promise<Connection> {
    const { connectTimeoutMs: ms, name } = this.#options.settings
    await this.#until({ signal, ms, isSo: () => this.#current !== undefined, isHopeless: () => false })
    if (!this.#current) throw new ServerAway(name)
    return this.#current
  }

  /** Idempotent, never rejects. Resolves when no program, socket or timer is left. */
  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all([...this.#connections].map((connection) => connection.close()))
    await this.#keeping
    await Promise.all([...this.#connections].map((connection) => connection.close()))
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted
  }

  async #keep(): Promise<void> {
    const { clock } = this.#options
    while (!this.#isClosed) {
      const startedAt = clock.monotonic()
      this.#isWanted = false
      try {
        const connection = await this.#connect()
        await connection.ended
        this.#lost(connection, clock.monotonic() - startedAt)
      } catch (error) {
        this.#failed(error)
      }
      await this.#pause()
    }
  }

  async #connect(): Promise<Connection> {
    const connection = await this.#open()
    try {
      const list = await connection.list()
      this.#current = connection
      this.#took(list)
      const { logger, settings } = this.#options
      const { protocol, pid } = connection
      const fields = { server: settings.name, protocol, tools: list.tools.length, ...(pid ? { pid } : {}) }
      logger.info(fields, 'mcp server connected')
      if (this.#changedEarly === connection) void this.#refresh(connection) // never rejects
      return connection
    } catch (error) {
      await connection.close()
      throw error
    } finally {
      this.#changedEarly = undefined
    }
  }

  /** A program that ends at the probe for the new protocol is started again without it, and from then on. */
  async #open(): Promise<Connection> {
    if (this.#options.settings.target.kind === 'http') return this.#openAs({ legacy: false })
    if (this.#isLegacyProgram) {
      // Until it has answered once more: the program may be another one now.
      this.#isLegacyProgram = false
      const connection = await this.#openAs({ legacy: true })
      this.#isLegacyProgram = true
      return connection
    }
    try {
      const connection = await this.#openAs({ legacy: false })
      this.#isLegacyProgram = connection.isLegacy
      return connection
    } catch (error) {
      const { SdkErrorCode, SdkError } = await loadSdk()
      const closed = SdkError.isInstance(error) && error.code === SdkErrorCode.EraNegotiationFailed
      if (!closed || this.#isClosed) throw error
      const connection = await this.#openAs({ legacy: true })
      this.#isLegacyProgram = true
      return connection
    }
  }

  async #openAs(era: { legacy: boolean }): Promise<Connection> {
    const { clock, settings } = this.#options
    const connection = new Connection({
      sdk: await loadSdk(),
      settings,
      clock,
      onNotice: ({ kind, text }) => this.#notice(kind, text),
      onToolsChanged: () => void this.#refresh(connection), // never rejects
    })
    if (this.#isClosed) throw new Error('The link is closed.')
    this.#connections.add(connection)
    void connection.closed.then(() => this.#connections.delete(connection)) // never rejects
    await connection.connect(era)
    return connection
  }

  /** One at a time and with pauses; what changes meanwhile is read again after it. */
  async #refresh(connection: Connection): Promise<void> {
    if (connection !== this.#current) {
      this.#changedEarly = connection
      return
    }
    if (this.#listing?.connection === connection) {
      this.#listing.again = true
      return
    }
    const listing = { connection, again: true }
    this.#listing = listing
    try {
      while (listing.again && connection === this.#current) {
        await this.#relistPause()
        listing.again = false
        const startedAt = this.#options.clock.monotonic()
        const list = await connection.list()
        if (connection !== this.#current) return
        this.#took(list)
        this.#setNextList(startedAt)
        const { logger, settings } = this.#options
        logger.debug({ server: settings.name, tools: list.tools.length }, 'mcp server listed its tools again')
      }
    } catch (error) {
      this.#notice('error', error)
      connection.retire()
    } finally {
      if (this.#listing === listing) this.#listing = undefined
    }
  }

  async #relistPause(): Promise<void> {
    const { clock } = this.#options
    const ms = this.#nextListAt - clock.monotonic()
    if (ms > 0) await sleep({ clock, ms, signal: this.#closing.signal })
  }

  #setNextList(startedAt: number): void {
    const now = this.#options.clock.monotonic()
    const pauseMs = Math.max(relistPauseMs, relistPauseFactor * (now - startedAt))
    this.#nextListAt = now + Math.min(pauseMs, longestRelistPauseMs)
  }

  #took(list: ToolList): void {
    this.#options.onTools(list)
    this.#hasTools = true
    this.#changed()
  }

  #lost(connection: Connection, afterMs: number): void {
    this.#current = undefined
    this.#failures = afterMs < goodMs ? this.#failures + 1 : 0
    // What is left of it closes by itself when its calls have ended.
    connection.retire()
    if (!this.#isClosed) {
      this.#options.logger.warn({ server: this.#options.settings.name }, 'mcp server lost')
    }
    this.#changed()
  }

  #failed(error: unknown): void {
    this.#failures += 1
    if (!this.#isClosed) {
      const { logger, settings } = this.#options
      const fields = { server: settings.name, failures: this.#failures, err: traceOf(error) }
      // The first of a row is news, the others are not.
      if (this.#failures === 1) logger.warn(fields, 'mcp server cannot be reached')
      else logger.debug(fields, 'mcp server cannot be reached')
      this.#notice('error', error)
    }
    this.#changed()
  }

  /** Doubles with every failure; half of it is chance. Cut to a second at most where somebody waits for the server. */
  async #pause(): Promise<void> {
    if (this.#failures === 0 || this.#isClosed) return
    const { clock } = this.#options
    const { signal } = this.#closing
    const full = Math.min(longestPauseMs, firstPauseMs * 2 ** (this.#failures - 1))
    const least = Math.min(full, 1_000)
    await sleep({ clock, ms: least, signal })
    if (this.#isWanted || full === least) return
    const rest = new AbortController()
    this.#wake = () => rest.abort()
    await sleep({
      clock,
      ms: (full - least) * (0.5 + Math.random() / 2),
      signal: AbortSignal.any([signal, rest.signal]),
    })
    this.#wake = undefined
  }

  /** Whether it came to be so within `ms`. Rejects with the signal's reason. */
  async #until(options: {
    signal: AbortSignal
    ms: number
    isSo: () => boolean
    isHopeless: () => boolean
  }): Promise<boolean> {
    const { signal, ms, isSo, isHopeless } = options
    const patience = new AbortController()
    const over = AbortSignal.any([signal, this.#closing.signal, patience.signal])
    const forget = this.#options.clock.after(ms, () => patience.abort())
    try {
      while (!isSo() && !isHopeless() && !over.aborted) {
        this.#isWanted = true
        this.#wake?.()
        await Promise.race([this.#change.promise, aborted(over)])
      }
    } finally {
      forget()
    }
    signal.throwIfAborted()
    return isSo()
  }

  #changed(): void {
    const { resolve } = this.#change
    this.#change = Promise.withResolvers<void>()
    resolve()
  }

  #notice(kind: 'stderr' | 'error', told: unknown): void {
    const { logger, settings } = this.#options
    const text = told instanceof Error ? told.message : String(told)
    const fields = { server: settings.name, [kind === 'stderr' ? 'line' : 'reason']: this.#clean(text) }
    logger.debug(fields, kind === 'stderr' ? 'mcp server wrote to stderr' : 'mcp client notice')
  }

  #clean(text: string): string {
    return redact(text, this.#secrets).slice(0, maxNoticeChars)
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

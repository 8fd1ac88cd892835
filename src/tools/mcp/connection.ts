import type { CallToolResult, Client, ElicitResult, Tool as ListedTool } from '@modelcontextprotocol/client'
import type { StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { sleep, type Clock } from '../../clock.ts'
import { version } from '../../version.ts'
import { currentExchange, type ActiveCall } from './active-call.ts'
import { CallCut, CallTimeout, UnreadableAnswer } from './call-faults.ts'
import { createHttpTransport } from './http-transport.ts'
import type { McpSettings } from './options.ts'
import { ProgramTransport } from './program-transport.ts'
import { answerBy, elicitationSchema, SharedQuestions, type Elicitation } from './questions.ts'
import type { Sdk } from './sdk.ts'
import { listTools, type ToolList } from './tool-list.ts'

export interface ConnectionOptions {
  sdk: Sdk
  settings: McpSettings
  clock: Clock
  /** For the log, already without secrets. */
  onNotice: (notice: { kind: 'stderr' | 'error'; text: string }) => void
  /** The server says that its tools are others now. */
  onToolsChanged: () => void
}

export interface CallRequest {
  call: ActiveCall
  tool: ListedTool
  input: Record<string, unknown>
}

/** How often a server may ask for more in one call. */
const maxRounds = 10
const goodbyeMs = 1_000
/** A stream that lasts less is opened again after longer and longer pauses. */
const shortMs = 10_000
const firstPauseMs = 100
const longestPauseMs = 60_000
/** Between rounds where the server wants only its own state back. */
const roundPauseMs = 500
/** Errors of Node's fetch from before anything was sent. */
const unreached = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** One client on one transport, for all calls of all runs until it ends. */
export class Connection {
  /** Resolves when no new calls should be made here: the server is gone, or this connection has become useless. */
  readonly ended: Promise<void>
  /** Resolves when nothing of it is left. */
  readonly closed: Promise<void>

  readonly #options: ConnectionOptions
  readonly #client: Client
  readonly #transport: ProgramTransport | StreamableHTTPClientTransport
  readonly #calls = new Set<ActiveCall>()
  readonly #questions: SharedQuestions
  readonly #over = new AbortController()
  readonly #end: () => void
  readonly #markClosed: () => void
  #closing: Promise<void> | undefined

  constructor(options: ConnectionOptions) {
    const { sdk, settings } = options
    const ended = Promise.withResolvers<void>()
    this.ended = ended.promise
    this.#end = () => {
      this.#over.abort()
      ended.resolve()
    }
    const closed = Promise.withResolvers<void>()
    this.closed = closed.promise
    this.#markClosed = closed.resolve
    this.#options = options
    this.#questions = new SharedQuestions({ calls: this.#calls, onUnclear: () => this.retire() })
    this.#transport = this.#createTransport()
    this.#client = new sdk.Client(
      { name: 'parley', version },
      {
        capabilities: { elicitation: { form: {} } },
        versionNegotiation: { mode: 'auto', probe: { timeoutMs: attemptMs(settings) / 2 } },
        listChanged: {
          tools: { autoRefresh: false, debounceMs: 0, onChanged: () => options.onToolsChanged() },
        },
      },
    )
    this.#client.onclose = () => this.retire()
    this.#client.onerror = (error) => this.#hear(error)
    this.#client.setRequestHandler('elicitation/create', (request, { mcpReq }) =>
      this.#answer(request.params, mcpReq.signal),
    )
  }

  /** Once. `legacy`: the server speaks a revision before 2026-07-28 and is not probed. Rejects with the connection closed. */
  async connect(options: { legacy: boolean }): Promise<void> {
    const { settings } = this.#options
    try {
      await this.#client.connect(this.#transport, {
        timeout: attemptMs(settings),
        ...(options.legacy ? { prior: { kind: 'legacy' } } : {}),
      })
    } catch (error) {
      await this.close()
      throw error
    }
    if (this.#client.autoOpenedSubscription) void this.#followChanges() // never rejects
  }

  /** Such as `2026-07-28`. */
  get protocol(): string {
    return this.#client.getNegotiatedProtocolVersion() ?? 'unknown'
  }

  /** Of the program. Undefined over HTTP. */
  get pid(): number | undefined {
    return this.#transport instanceof ProgramTransport ? (this.#transport.pid ?? undefined) : undefined
  }

  get isLegacy(): boolean {
    return this.#client.getProtocolEra() === 'legacy'
  }

  async list(): Promise<ToolList> {
    const { settings } = this.#options
    if (!this.#client.getServerCapabilities()?.tools) return { tools: [], isCut: false }
    return listTools({ client: this.#client, settings, timeoutMs: attemptMs(settings) })
  }

  /** Rejects with one of `call-faults.ts`, with what the call was given up with, or with the server's refusal. */
  async call(request: CallRequest): Promise<CallToolResult> {
    const { call, tool, input } = request
    const base = { name: tool.name, arguments: input }
    let params: typeof base & { inputResponses?: unknown; requestState?: unknown } = base
    try {
      for (let round = 0; round < maxRounds; round++) {
        const result: unknown = await this.#exchange(request, params)
        if (!this.#options.sdk.isInputRequiredResult(result)) return result as CallToolResult
        const { inputRequests, requestState } = result
        const inputResponses = await this.#respond(call, inputRequests ?? {})
        params = {
          ...base,
          ...(inputResponses ? { inputResponses } : {}),
          ...(requestState === undefined ? {} : { requestState }),
        }
      }
      throw new Error(`The server asked more than ${maxRounds} times in one call.`)
    } finally {
      // One that was given up is closed when the server has ended it.
      if (!this.#calls.has(call)) call.close()
    }
  }

  /** Ends `ended`. Calls under way go on; what is left closes after them. */
  retire(): void {
    if (this.#over.signal.aborted) return
    this.#end()
    this.#closeWhenIdle()
  }

  /** Idempotent, never rejects. Calls under way are cut. */
  close(): Promise<void> {
    this.#end()
    this.#closing ??= this.#close().finally(this.#markClosed)
    return this.#closing
  }

  /** Revision 2026-07-28: changes come on a stream, which ends as streams do. What was missed is read, and it is opened again. */
  async #followChanges(): Promise<void> {
    const { clock, onToolsChanged } = this.#options
    let subscription = this.#client.autoOpenedSubscription
    for (let shortLives = 0; ;) {
      const since = clock.monotonic()
      await subscription?.closed
      if (this.#over.signal.aborted) return
      shortLives = clock.monotonic() - since < shortMs ? shortLives + 1 : 0
      onToolsChanged()
      const ms = Math.min(longestPauseMs, firstPauseMs * 2 ** shortLives)
      await sleep({ clock, ms, signal: this.#over.signal })
      if (this.#over.signal.aborted) return
      try {
        subscription = await this.#client.listen(
          { toolsListChanged: true },
          { timeout: attemptMs(this.#options.settings) },
        )
      } catch (error) {
        subscription = undefined
        this.#notice(error)
      }
    }
  }

  async #close(): Promise<void> {
    const { clock } = this.#options
    const transport = this.#transport
    if ('terminateSession' in transport && transport.sessionId !== undefined) {
      // A courtesy to the server. One that is gone has forgotten the session anyway.
      const goodbye = transport.terminateSession().catch(() => undefined)
      const patience = new AbortController()
      await Promise.race([goodbye, sleep({ clock, ms: goodbyeMs, signal: patience.signal })])
      patience.abort()
    }
    try {
      await this.#client.close()
      // Where the handshake failed the client has let go of its transport already.
      await transport.close()
    } catch (error) {
      this.#notice(error)
    }
  }

  #closeWhenIdle(): void {
    if (this.#over.signal.aborted && this.#calls.size === 0) void this.close() // never rejects
  }

  /** One request and its response. The call counts as under way until the server has answered or never will. */
  async #exchange({ call, tool }: CallRequest, params: { name: string }): Promise<unknown> {
    const release = await this.#turnOf(call)
    this.#calls.add(call)
    const { outputSchema: _unchecked, ...toolDefinition } = tool
    const over = new AbortController()
    const streamEnded = () => over.signal.aborted || call.cut()
    const exchange = { call, over: over.signal, streamEnded }
    const request = currentExchange.run(exchange, () =>
      this.#client.callTool(params, {
        // The tool has run: a result that breaks its own output schema is for the model to read, not to be thrown away.
        toolDefinition,
        signal: call.signal,
        timeout: this.#options.settings.timeoutMs,
        resetTimeoutOnProgress: true,
        onprogress: call.showProgress,
        allowInputRequired: true,
      }),
    )
    const settled = request.finally(() => {
      over.abort()
      this.#calls.delete(call)
      if (call.isGivenUp) call.close()
      release()
    })
    const outcome = settled.then(
      (result) => {
        this.#questions.ended(call, false)
        return result
      },
      (error: unknown) => {
        const fault = this.#faultOf(error)
        const given = call.signal.aborted || fault instanceof CallTimeout
        this.#questions.ended(call, given && this.isLegacy)
        throw fault
      },
    )
    outcome.catch(() => undefined).finally(() => this.#closeWhenIdle())
    return Promise.race([call.givenUp, outcome])
  }

  async #turnOf(call: ActiveCall): Promise<() => void> {
    const turn = this.#questions.turnOf(call.toolName)
    try {
      return await Promise.race([call.givenUp, turn])
    } catch (error) {
      void turn.then((release) => release()) // never rejects
      throw error
    }
  }

  /** Undefined where nothing was asked. One after the other and in a fixed order: the same call asks the same way again. */
  async #respond(
    call: ActiveCall,
    requests: Record<string, { method?: unknown; params?: unknown }>,
  ): Promise<Record<string, unknown> | undefined> {
    const keys = Object.keys(requests).toSorted()
    if (keys.length === 0) {
      await sleep({ clock: this.#options.clock, ms: roundPauseMs, signal: call.signal })
      return undefined
    }
    const responses: Record<string, unknown> = {}
    for (const key of keys) {
      const { method, params } = requests[key] ?? {}
      if (method !== 'elicitation/create')
        throw new Error(`The server asks for ${String(method)}, which is not offered.`)
      const elicitation = elicitationSchema.safeParse(params)
      if (!elicitation.success) throw new UnreadableAnswer({ cause: elicitation.error })
      responses[key] = await answerBy(call, elicitation.data)
    }
    return responses
  }

  /** A question of a 2025-11-25 server. On the stream of a call it belongs to it; else it is worked out. */
  async #answer(elicitation: Elicitation, signal: AbortSignal): Promise<ElicitResult> {
    const call = currentExchange.getStore()?.call
    if (!call) return this.#questions.answer(elicitation, signal)
    if (!this.#calls.has(call)) throw new Error('The call this question belongs to is over.')
    return answerBy(call, elicitation)
  }

  #createTransport(): ProgramTransport | StreamableHTTPClientTransport {
    const { sdk, settings, onNotice } = this.#options
    const { target } = settings
    if (target.kind === 'http') return createHttpTransport(sdk, target)
    const onErrorLine = (text: string) => onNotice({ kind: 'stderr', text })
    return new ProgramTransport({ sdk, target, onErrorLine })
  }

  /** What the client tells apart from any request: a stream that broke, a message that makes no sense. */
  #hear(error: Error): void {
    this.#notice(error)
    if (this.#options.settings.target.kind === 'http' && this.#meansGone(error)) this.retire()
  }

  #notice(error: unknown): void {
    this.#options.onNotice({ kind: 'error', text: error instanceof Error ? error.message : String(error) })
  }

  /** Whether the server, or our session with it, is no more. */
  #meansGone(error: unknown): boolean {
    if (this.#isSessionLost(error)) return true
    if (error instanceof TypeError) return causeCode(error) !== undefined
    return error instanceof Error && error.message.startsWith('Maximum reconnection attempts')
  }

  #isSessionLost(error: unknown): boolean {
    const { sdk } = this.#options
    if (!sdk.SdkHttpError.isInstance(error) || !this.isLegacy) return false
    // 404 is the rule; servers that keep a table of transports answer 400 to an id they do not know. The error of a stream
    // carries no text, and there a session is all that can be wrong.
    const text = error.data['text'] ?? 'session'
    return error.status === 404 || (error.status === 400 && typeof text === 'string' && /session/i.test(text))
  }

  #faultOf(error: unknown): unknown {
    const { sdk, settings } = this.#options
    const cut = (untouched: boolean) => {
      this.retire()
      return new CallCut({ untouched, cause: error })
    }
    if (this.#isSessionLost(error)) return cut(true)
    if (sdk.SdkHttpError.isInstance(error)) {
      if ([502, 503, 504].includes(error.status)) return cut(false)
      return new Error(`The server refuses the request: HTTP status ${error.status}.`, { cause: error })
    }
    if (sdk.SdkError.isInstance(error)) {
      const { SdkErrorCode } = sdk
      if (error.code === SdkErrorCode.ConnectionClosed) return cut(false)
      if (error.code === SdkErrorCode.NotConnected) return cut(true)
      if (error.code === SdkErrorCode.RequestTimeout) return new CallTimeout(settings.timeoutMs)
      return new UnreadableAnswer({ cause: error })
    }
    if (sdk.ProtocolError.isInstance(error)) return error
    // What `fetch` and the streams behind it throw, and the client where it has no transport any more.
    if (error instanceof Error && error.message === 'Not connected') return cut(true)
    return cut(unreached.has(causeCode(error) ?? ''))
  }
}

/** How long one try to connect may take: longer than anybody waits for it, because it goes on in the background. */
function attemptMs({ connectTimeoutMs }: McpSettings): number {
  return 3 * connectTimeoutMs
}

function causeCode(error: unknown): string | undefined {
  const cause = error instanceof Error ? error.cause : undefined
  const { code } = typeof cause === 'object' && cause !== null ? (cause as { code?: unknown }) : {}
  return typeof code === 'string' ? code : undefined
}

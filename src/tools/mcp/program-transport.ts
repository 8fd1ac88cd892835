import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import type { ReadBuffer } from '@modelcontextprotocol/client'
import type { JSONRPCMessage, Transport } from '@modelcontextprotocol/client'
import type { Sdk } from './sdk.ts'
import type { ProgramTarget } from './options.ts'

export interface ProgramTransportOptions {
  sdk: Sdk
  target: ProgramTarget
  /** One line of standard error, cut where it is very long. */
  onErrorLine: (line: string) => void
}

/** How long a program may take to end after its input has ended, and again after SIGTERM. */
const patienceMs = 1_000
const maxLineChars = 1_000
const hasGroups = process.platform !== 'win32'

/**
 * MCP over the standard streams of a child process (specification 2026-07-28, Transports, stdio). Unlike the client's own
 * transport it gives the child a process group, so that what a launcher such as `npx` has started ends with it.
 */
export class ProgramTransport implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: NonNullable<Transport['onmessage']>
  /** With `pid` what the client recognises a stdio transport by. */
  readonly stderr = null

  readonly #options: ProgramTransportOptions
  readonly #buffer: ReadBuffer
  #child: ChildProcessWithoutNullStreams | undefined
  #gone: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor(options: ProgramTransportOptions) {
    this.#options = options
    this.#buffer = new options.sdk.ReadBuffer()
  }

  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  /** Rejects where the program cannot be started. */
  async start(): Promise<void> {
    const { sdk, target } = this.#options
    const child = spawn(target.command, target.args, {
      env: { ...sdk.getDefaultEnvironment(), ...target.env },
      cwd: target.cwd,
      stdio: 'pipe',
      detached: hasGroups,
      windowsHide: true,
    })
    this.#child = child
    this.#gone = new Promise((resolve) => child.once('close', () => resolve()))
    child.once('exit', () => this.#endGroup(child))
    child.once('close', () => this.onclose?.())
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.on('error', (error) => {
        reject(error)
        this.onerror?.(error)
      })
    })
    // Not before: a child for which no file descriptor was left has no streams.
    for (const stream of [child.stdin, child.stdout, child.stderr]) {
      stream.on('error', (error) => this.onerror?.(error))
    }
    child.stdout.on('data', (chunk: Buffer) => this.#read(chunk))
    this.#followErrors(child)
  }

  /** Resolves when the message is on its way, also where the program ends meanwhile: `onclose` tells. */
  async send(message: JSONRPCMessage): Promise<void> {
    const { sdk } = this.#options
    const stdin = this.#child?.stdin
    if (!stdin?.writable) throw new sdk.SdkError(sdk.SdkErrorCode.NotConnected, 'Not connected')
    if (stdin.write(sdk.serializeMessage(message))) return
    await new Promise<void>((resolve) => {
      const finish = () => {
        stdin.off('drain', finish)
        stdin.off('close', finish)
        resolve()
      }
      stdin.on('drain', finish)
      stdin.on('close', finish)
    })
  }

  /** Idempotent. Ends the input, then asks, then kills; resolves when the program and its group are gone. Never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const child = this.#child
    if (!child?.pid) return
    child.stdin.end()
    if (!(await this.#goneWithin(patienceMs))) this.#signal(child, 'SIGTERM')
    if (!(await this.#goneWithin(patienceMs))) this.#signal(child, 'SIGKILL')
    await this.#goneWithin(patienceMs)
    this.#buffer.clear()
  }

  /** Whatever the program has started goes with it: it would hold the streams open, or run on unseen. */
  #endGroup(child: ChildProcessWithoutNullStreams): void {
    this.#signal(child, 'SIGKILL')
    // A stranger outside the group may hold the streams still.
    const timer = setTimeout(() => {
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy()
    }, patienceMs)
    void this.#gone.then(() => clearTimeout(timer)) // never rejects
  }

  #signal(child: ChildProcessWithoutNullStreams, signal: NodeJS.Signals): void {
    if (!child.pid) return
    try {
      if (hasGroups) process.kill(-child.pid, signal)
      else child.kill(signal)
    } catch (error) {
      // ESRCH: nobody is left of it.
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code !== 'ESRCH') this.onerror?.(toError(error))
    }
  }

  #goneWithin(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), ms)
      void this.#gone.then(() => {
        clearTimeout(timer)
        resolve(true)
      }) // never rejects
    })
  }

  #read(chunk: Buffer): void {
    try {
      this.#buffer.append(chunk)
    } catch (error) {
      // A message that never ends: what follows cannot be read either.
      this.onerror?.(toError(error))
      void this.close() // never rejects
      return
    }
    while (this.#readMessage()) continue
  }

  /** Whether there may be another. A line that is no message is passed over: programs greet on standard output. */
  #readMessage(): boolean {
    try {
      const message = this.#buffer.readMessage()
      if (message === null) return false
      this.onmessage?.(message)
    } catch (error) {
      this.onerror?.(toError(error))
    }
    return true
  }

  #followErrors(child: ChildProcessWithoutNullStreams): void {
    let line = ''
    child.stderr.setEncoding('utf8')
    child.stderr.on('data', (text: string) => {
      const [first = '', ...others] = text.split(/\r?\n/)
      // Where a line never ends only its beginning is kept.
      line += first.slice(0, maxLineChars - line.length)
      for (const next of others) {
        if (line) this.#options.onErrorLine(line)
        line = next.slice(0, maxLineChars)
      }
    })
  }
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

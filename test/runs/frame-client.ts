import { connect } from 'node:net'
import type { RunEvent } from '../../src/events.ts'

/** One frame of an event stream with an event of the log in it. */
export interface Frame {
  seq: number
  event: Exclude<RunEvent, { type: 'tool.progress' }>
  /** The frame's bytes, comments left out, a character for each byte: for comparing, not for reading. */
  bytes: string
}

export interface Reading {
  frames: Frame[]
  /** Bytes of the response that were received, head and framing included. */
  received: number
  /** The server ended the response; else it was cut. */
  ended: boolean
  status: number
  headers: Map<string, string>
}

export interface ReadOptions {
  url: string
  method?: 'GET' | 'POST'
  path: string
  headers?: Record<string, string>
  body?: unknown
  /** Destroys the socket when so many bytes have come; what comes with the last of them counts as never received. */
  cutAfter?: number
  onHead?: (headers: Map<string, string>) => void
  onFrame?: (frame: Frame) => void
  /** Called once with the paused socket, right after the head: nothing more is read until the promise resolves. */
  pause?: () => Promise<void>
  /** Reads this little at a time, a turn of the event loop between. */
  sip?: number
}

/**
 * Reads an event stream over a socket of its own, byte by byte as they come: what a client that is cut anywhere has in
 * hand is exactly the whole frames before the cut. Rejects where the status is not 200.
 */
export function readFrames(options: ReadOptions): Promise<Reading> {
  const { hostname, port, host } = new URL(options.url)
  const decoder = createResponseDecoder(options)
  const cutAfter = options.cutAfter ?? Infinity
  let received = 0
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    const finish = () => {
      socket.destroy()
      const { frames, status, headers, ended } = decoder
      if (status !== 0 && status !== 200) reject(new Error(`status ${status}: ${decoder.text()}`))
      else resolve({ frames, received, ended, status, headers })
    }
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A server that dies resets its connections: that is a cut as well.
      if (error.code === 'ECONNREFUSED') reject(error)
      else finish()
    })
    socket.on('close', finish)
    socket.once('connect', () => socket.write(requestText(options, host)))
    if (cutAfter <= 0) return socket.once('connect', finish)
    socket.on('data', (chunk: Buffer) => {
      if (socket.destroyed) return
      const taken = chunk.subarray(0, cutAfter - received)
      received += taken.length
      const hadHead = decoder.status !== 0
      decoder.push(taken)
      if (received >= cutAfter || decoder.ended) return finish()
      if (!hadHead && decoder.status !== 0 && options.pause) {
        socket.pause()
        void options.pause().then(() => socket.resume())
      } else if (options.sip) {
        socket.pause()
        setImmediate(() => socket.resume())
      }
    })
  })
}

function requestText(options: ReadOptions, host: string): string {
  const { method = 'GET', path, headers = {} } = options
  const body = options.body === undefined ? '' : JSON.stringify(options.body)
  const lines = [`${method} ${path} HTTP/1.1`, `host: ${host}`, 'connection: close']
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`)
  if (body !== '') lines.push('content-type: application/json', `content-length: ${Buffer.byteLength(body)}`)
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}

/** HTTP/1.1 with or without chunks (RFC 9112 §7.1), then frames; takes bytes in any pieces. */
function createResponseDecoder(options: Pick<ReadOptions, 'onHead' | 'onFrame'>) {
  let raw: Buffer = Buffer.alloc(0)
  let body: Buffer = Buffer.alloc(0)
  let chunked = false
  let chunkLeft = 0
  const decoder = {
    status: 0,
    headers: new Map<string, string>(),
    frames: [] as Frame[],
    ended: false,
    text: () => body.toString(),
    push(bytes: Buffer) {
      raw = raw.length === 0 ? bytes : Buffer.concat([raw, bytes])
      if (decoder.status === 0 && !takeHead()) return
      if (chunked) takeChunks()
      else takeBody(raw.length)
      takeFrames()
    },
  }
  function takeHead(): boolean {
    const end = raw.indexOf('\r\n\r\n')
    if (end < 0) return false
    const [statusLine = '', ...lines] = raw.subarray(0, end).toString('latin1').split('\r\n')
    for (const line of lines) {
      const colon = line.indexOf(':')
      decoder.headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
    }
    raw = raw.subarray(end + 4)
    chunked = decoder.headers.get('transfer-encoding') === 'chunked'
    decoder.status = Number(statusLine.split(' ')[1])
    options.onHead?.(decoder.headers)
    return true
  }
  function takeBody(length: number): void {
    body = body.length === 0 ? raw.subarray(0, length) : Buffer.concat([body, raw.subarray(0, length)])
    raw = raw.subarray(length)
  }
  function takeChunks(): void {
    for (;;) {
      if (chunkLeft > 2) {
        const length = Math.min(raw.length, chunkLeft - 2)
        takeBody(length)
        chunkLeft -= length
      }
      if (chunkLeft > 0) {
        if (chunkLeft > 2 || raw.length < chunkLeft) return
        raw = raw.subarray(chunkLeft)
        chunkLeft = 0
      }
      const line = raw.indexOf('\r\n')
      if (line < 0) return
      const size = Number.parseInt(raw.subarray(0, line).toString(), 16)
      if (Number.isNaN(size)) throw new Error(`no chunk size: ${raw.subarray(0, line).toString()}`)
      raw = raw.subarray(line + 2)
      if (size === 0) {
        decoder.ended = true
        return
      }
      chunkLeft = size + 2
    }
  }
  function takeFrames(): void {
    let from = 0
    for (let end = body.indexOf('\n\n', from); end >= 0; end = body.indexOf('\n\n', from)) {
      const frame = toFrame(body.subarray(from, end + 2))
      from = end + 2
      if (!frame) continue
      decoder.frames.push(frame)
      options.onFrame?.(frame)
    }
    body = body.subarray(from)
  }
  return decoder
}

/** Undefined for what has no place in the log: progress, which must have no id, and the word of a server that shuts down. */
function toFrame(raw: Buffer): Frame | undefined {
  const bytes = raw.toString('latin1').replace(/^(?::[^\n]*\n)+/, '')
  const lines = Buffer.from(bytes, 'latin1').toString().split('\n')
  const data = lines.find((line) => line.startsWith('data: '))?.slice(6) ?? ''
  const id = lines.find((line) => line.startsWith('id: '))?.slice(4)
  const name = lines.find((line) => line.startsWith('event: '))
  if (name === 'event: error' && (JSON.parse(data) as { code: string }).code === 'draining') return undefined
  if (name) throw new Error(`the stream broke: ${data}`)
  // What the native encoder wrote.
  const event = JSON.parse(data) as RunEvent
  if (event.type === 'tool.progress') {
    if (id !== undefined) throw new Error('progress has an id')
    return undefined
  }
  if (String(event.seq) !== id) throw new Error(`id ${id} stands on event ${event.seq}`)
  return { seq: event.seq, event, bytes }
}

import { connect, type Socket } from 'node:net'
import { tokenMark } from '../models.ts'

export interface Answer {
  status: number
  /** All times in milliseconds of `performance.now()`. */
  sentAt: number
  firstTokenAt: number
  endedAt: number
  tokens: number
  /** The end of the body: the last read, and the one before where that was short. */
  tail: Buffer
}

/** A request, written once and sent many times. */
export function toRequest(input: { port: number; path: string; body: object }): Buffer {
  const body = JSON.stringify(input.body)
  return Buffer.from(
    `POST ${input.path} HTTP/1.1\r\nhost: 127.0.0.1:${input.port}\r\ncontent-type: application/json\r\n` +
      `accept: */*\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

const mark = tokenMark.charCodeAt(0)
const lastChunk = Buffer.from('0\r\n\r\n')
const empty = Buffer.alloc(0)
const tailLength = 1024

/** One connection, kept alive, that does one request at a time and looks at no more than it must. */
export class Connection {
  readonly socket: Socket
  /** Called at each read that holds tokens, with how many. */
  onTokens: ((count: number, now: number) => void) | undefined
  #answer: Answer | undefined
  #settle: ((answer: Answer) => void) | undefined
  #fail: ((error: Error) => void) | undefined
  #head = ''
  /** Bytes of the body to come; -1 where it is chunked, undefined while the head is not complete. */
  #left: number | undefined
  /** What was read before. */
  #before: Buffer = empty

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (data: Buffer) => this.#take(data))
    socket.on('error', (error) => this.#break(error))
    socket.on('close', () => this.#break(new Error('the server closed the connection')))
  }

  static open(port: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new Connection(socket))
      })
    })
  }

  exchange(request: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#settle = resolve
      this.#fail = reject
      this.#head = ''
      this.#left = undefined
      this.#before = empty
      const sentAt = performance.now()
      this.#answer = { status: 0, sentAt, firstTokenAt: 0, endedAt: 0, tokens: 0, tail: empty }
      this.socket.write(request)
    })
  }

  close(): void {
    this.#fail = undefined
    this.socket.destroy()
  }

  #take(data: Buffer): void {
    const answer = this.#answer
    if (!answer) return this.#break(new Error('bytes without a request'))
    const body = this.#left === undefined ? this.#takeHead(data, answer) : data
    if (body === undefined || this.#left === undefined) return
    const count = countMarks(body)
    if (count > 0) {
      const now = performance.now()
      if (answer.tokens === 0) answer.firstTokenAt = now
      answer.tokens += count
      this.onTokens?.(count, now)
    }
    if (this.#left >= 0) this.#left -= body.length
    const over = this.#left === -1 ? this.#endsWithLastChunk(body) : this.#left <= 0
    if (!over) {
      this.#before = body
      return
    }
    answer.endedAt = performance.now()
    answer.tail = body.length >= tailLength ? body : Buffer.concat([this.#before, body])
    this.#answer = undefined
    this.#settle?.(answer)
  }

  #takeHead(data: Buffer, answer: Answer): Buffer | undefined {
    this.#head += data.toString('latin1')
    const end = this.#head.indexOf('\r\n\r\n')
    if (end === -1) return undefined
    answer.status = Number(this.#head.slice(9, 12))
    const length = /\r\ncontent-length: *(\d+)/i.exec(this.#head.slice(0, end))
    this.#left = length ? Number(length[1]) : -1
    const held = this.#head.length - end - 4
    // What follows the head came with the last of it.
    return data.subarray(data.length - held)
  }

  #endsWithLastChunk(body: Buffer): boolean {
    const end = body.length >= lastChunk.length ? body : Buffer.concat([this.#before, body])
    return end.subarray(-lastChunk.length).equals(lastChunk)
  }

  #break(error: Error): void {
    this.#fail?.(error)
    this.#fail = undefined
    this.socket.destroy()
  }
}

function countMarks(data: Buffer): number {
  let count = 0
  for (let at = data.indexOf(mark); at !== -1; at = data.indexOf(mark, at + 1)) count++
  return count
}

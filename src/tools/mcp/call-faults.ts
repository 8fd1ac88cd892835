/*
 * How a call can fail before the server has answered it. A refusal of the server is an answer.
 */

/** The connection ended under the call. */
export class CallCut extends Error {
  /** The server cannot have begun: repeating is safe whatever the tool does. */
  readonly untouched: boolean

  constructor(options: { untouched: boolean; cause?: unknown }) {
    super('The connection to the server was lost.', { cause: options.cause })
    this.name = 'CallCut'
    this.untouched = options.untouched
  }
}

/** Nothing came for too long. */
export class CallTimeout extends Error {
  /** For people: to a hundredth. */
  readonly seconds: number

  constructor(ms: number) {
    super('The server did not answer in time.')
    this.name = 'CallTimeout'
    this.seconds = Math.max(1, Math.round(ms / 10)) / 100
  }
}

/** There is an answer, but it cannot be used. What the call did is done. */
export class UnreadableAnswer extends Error {
  constructor(options: { message?: string; cause?: unknown } = {}) {
    super(options.message ?? 'The answer of the server cannot be read.', { cause: options.cause })
    this.name = 'UnreadableAnswer'
  }
}

/** The server is away, and did not come back while the call waited. */
export class ServerAway extends Error {
  constructor(serverName: string) {
    super(
      `The server of this tool (${serverName}) cannot be reached now. The call was not made. Try again later.`,
    )
    this.name = 'ServerAway'
  }
}

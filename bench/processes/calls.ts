/** What a process of the bench can be asked to do, by name. One argument each, which crosses as JSON. */
// The parent knows the type of each; here they only pass through.
// oxlint-disable-next-line typescript/no-explicit-any
export type Calls = Record<string, (input: any) => unknown>

export interface CallMessage {
  id: number
  name: string
  input: unknown
}

export type ReplyMessage = { id: number; value: unknown } | { id: number; failure: string }

/** Tells the parent that this process is ready, and answers its calls. Ends the process when the parent is gone. */
export function answerCalls(calls: Calls, ready: Record<string, unknown>): void {
  const all: Calls = { ...processCalls, ...calls }
  process.on('disconnect', () => process.exit(0))
  process.on('message', (message: CallMessage) => {
    const { id, name, input } = message
    const answer = async () => {
      const call = all[name]
      if (!call) throw new Error(`there is no call ${name}`)
      return await call(input)
    }
    answer().then(
      (value) => send({ id, value }),
      (error: unknown) =>
        send({ id, failure: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    )
  })
  process.send?.({ ready })
}

/** What every process can be asked. */
export const processCalls = {
  /** CPU time of all threads since the start, user and system, in microseconds. */
  cpu: (): number => {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  /** Bytes. Collects garbage first where the process was started with `--expose-gc`. */
  memory: async (): Promise<{ rss: number; heap: number }> => {
    // Twice, with a turn between: finalisers of the first free what only the second can take.
    for (let i = 0; i < 2; i++) {
      globalThis.gc?.()
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    const { rss, heapUsed } = process.memoryUsage()
    return { rss, heap: heapUsed }
  },
} satisfies Calls

function send(message: ReplyMessage): void {
  process.send?.(message)
}

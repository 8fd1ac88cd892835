import { AppError } from '../errors.ts'
import type { EventOf, EventType, RunEvent } from '../events.ts'
import { anonymous, type Principal } from '../identity/principal.ts'
import { createId } from '../ids.ts'
import type { Item } from '../items.ts'
import type { Parley } from '../parley.ts'
import type { Approvals, CreateRunInput } from '../runs/runs.ts'
import type { ApprovalRecord, RunRecord } from '../store/store.ts'

/** What may be said of a run beside its input, as `runs.create` takes it. */
export interface TestRunInput extends Partial<Omit<CreateRunInput, 'input'>> {}

/** A tool call of a run, with its result where it has one. */
export interface TestToolCall {
  call_id: string
  name: string
  /** Parsed; the raw text where it is not JSON. */
  arguments: unknown
  /** What the model was told. Undefined: there is no result (yet). */
  output: string | undefined
  /** Present when the call gave no normal result. */
  error?: { code: string; message: string }
}

/** A run that ended, or waits for people or for results of its caller's tools. */
export interface TestRun {
  run: RunRecord
  /** The whole log. `assertEvents` looks at it. */
  events: RunEvent[]
  /** The answer. */
  text: string
  /** In the order the model made them. Calls of a try that was thrown away are left out. */
  toolCalls: TestToolCall[]
}

/** A run under way. */
export interface LiveRun {
  readonly id: string
  /** The events so far. */
  readonly events: readonly RunEvent[]
  /** The first event of that type, now or when it comes. Rejects where the run ends, or waits, without it. */
  reach<T extends EventType>(type: T): Promise<EventOf<T>>
  /** Waits for the end, or until the run waits for somebody. */
  end(): Promise<TestRun>
  cancel(reason?: string): Promise<TestRun>
}

/** What `approvals.decide` takes: `{ decision: 'approve' }`, `{ decision: 'answer', answer: 'blue' }`. */
export type TestDecision = Parameters<Approvals['decide']>[2]

/** Runs without HTTP, as code on the server starts them. All in the name of `principal` where nobody else is given. */
export interface TestRuns {
  /** Who asks where no identity is configured. For `runs`, `approvals` and `conversations`. */
  readonly principal: Principal
  /** Starts a run. Default agent: the first. Rejects as `runs.create` does. */
  start(input: string | Item[], options?: TestRunInput): Promise<LiveRun>
  /** Starts a run and waits for its end, or until it waits for somebody: look at `run.status`. */
  run(input: string | Item[], options?: TestRunInput): Promise<TestRun>
  /**
   * Decides all that a suspended run waits for, the same or each by a function, and waits for its next end. Rejects as
   * `approvals.decide` does, and with `run_not_suspended`.
   */
  decide(
    run: Pick<RunRecord, 'id' | 'owner' | 'namespace'>,
    decision: TestDecision | ((approval: ApprovalRecord) => TestDecision),
  ): Promise<TestRun>
}

interface Context {
  parley: Parley
  /** Ends the readers that are open. */
  open: Set<() => void>
}

export interface OpenTestRuns extends TestRuns {
  /** Ends what still reads. */
  leave: () => void
}

export function createTestRuns(parley: Parley): OpenTestRuns {
  const context: Context = { parley, open: new Set() }
  const start = async (input: string | Item[], options: TestRunInput = {}) => {
    const principal = options.principal ?? anonymous
    const { run } = await parley.runs.create({
      agent: parley.agents[0]?.name ?? '',
      ...options,
      principal,
      input: typeof input === 'string' ? [toMessage(input)] : input,
    })
    return follow({ context, principal, run })
  }
  return {
    leave: () => context.open.forEach((leave) => leave()),
    principal: anonymous,
    start,
    run: async (input, options) => (await start(input, options)).end(),
    async decide({ id, owner, namespace }, decision) {
      const principal = { owner, namespace, name: owner }
      const { data } = await parley.approvals.list(principal, { run_id: id, status: 'pending', limit: 100 })
      if (data.length === 0)
        throw new AppError('run_not_suspended', { message: `The run ${id} waits for no decision.` })
      for (const approval of data) {
        const one = typeof decision === 'function' ? decision(approval) : decision
        await parley.approvals.decide(principal, approval.id, one)
      }
      return follow({ context, principal, run: await parley.runs.get(principal, id) }).end()
    },
  }
}

function toMessage(text: string): Item {
  return { type: 'message', id: createId('item'), role: 'user', content: [{ type: 'text', text }] }
}

interface Waiter {
  type: EventType
  resolve: (event: RunEvent) => void
}

/** Reads the log of a run from its beginning, at once and to where it ends. */
function follow(input: { context: Context; principal: Principal; run: RunRecord }): LiveRun {
  const { context, principal, run } = input
  const { runs } = context.parley
  const events: RunEvent[] = []
  const waiters = new Set<Waiter>()
  const reading = readToEnd(context, run, (event) => {
    events.push(event)
    for (const { type, resolve } of waiters) if (type === event.type) resolve(event)
  })
  // Whoever waits for an event or for the end hears of a failure; where nobody does, there is nobody to tell.
  reading.catch(() => undefined)

  async function wait(type: EventType): Promise<RunEvent> {
    const { promise, resolve, reject } = Promise.withResolvers<RunEvent>()
    const waiter: Waiter = { type, resolve }
    waiters.add(waiter)
    reading.then(() => reject(withoutEvent(type, events)), reject)
    return promise.finally(() => waiters.delete(waiter))
  }

  const end = async () => {
    await reading
    const ended = await runs.get(principal, run.id)
    return {
      run: ended,
      events: [...events],
      text: await runs.outputText(ended),
      toolCalls: toolCallsOf(events),
    }
  }
  return {
    id: run.id,
    events,
    async reach(type) {
      const found = events.find((event) => event.type === type) ?? (await wait(type))
      // Its type was compared.
      return found as EventOf<typeof type>
    },
    end,
    async cancel(reason = 'cancelled by the test') {
      await runs.cancel(principal, run.id, reason)
      return end()
    },
  }
}

/** Resolves when the log ends, rejects where it cannot be read or the server is closed first. */
function readToEnd(context: Context, run: RunRecord, onEvent: (event: RunEvent) => void): Promise<void> {
  const reader = context.parley.runs.read({ run, after: 0 })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const leave = () => {
    reader.detach('server')
    reject(new Error(`the server was closed before the run ${run.id} came to its end`))
  }
  const look = () => {
    for (let event = reader.take(); event; event = reader.take()) onEvent(event)
    if (reader.error) reject(reader.error)
    else if (reader.ended) resolve()
  }
  context.open.add(leave)
  reader.onReady = look
  look()
  return promise.finally(() => {
    context.open.delete(leave)
    reader.detach('server')
  })
}

function withoutEvent(type: EventType, events: readonly RunEvent[]): Error {
  return new Error(`the run came to its end without ${type}: ${events.map((event) => event.type).join(', ')}`)
}

/** What the log says of calls and their results. A repeated step throws away the calls of the try before. */
function toolCallsOf(events: readonly RunEvent[]): TestToolCall[] {
  let calls: TestToolCall[] = []
  let ofStep = 0
  for (const event of events) {
    if (event.type === 'step.end') ofStep = calls.length
    else if (event.type === 'step.retry') calls = calls.slice(0, ofStep)
    else if (event.type === 'tool.call' && !event.partial) {
      const { call_id, name, arguments: given } = event
      calls.push({ call_id, name, arguments: given, output: undefined })
    } else if (event.type === 'tool.end') {
      const call = calls.find(({ call_id }) => call_id === event.call_id)
      if (call) Object.assign(call, { output: event.output }, event.error && { error: event.error })
    }
  }
  return calls
}

import { onTestFinished } from 'vitest'
import { anonymous } from '../../src/identity/principal.ts'
import type { Agent } from '../../src/agent/definitions.ts'
import type { RunEvent } from '../../src/events.ts'
import type { Model, ModelRequest } from '../../src/models/model.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import type { ApprovalRecord, RunRecord } from '../../src/store/store.ts'
import { startEngine, transcript, type EngineUnderTest, type StartInput } from '../agent/engine-under-test.ts'

/** What agents do in a trial, as they write it down themselves: across crashes. */
export interface Notebook {
  /** Model calls, each with everything the model was told. */
  readonly asked: string[]
  /** Executions of tools. */
  readonly executed: string[]
  /** A model that notes its calls. */
  model(name: string, reply: (request: ModelRequest) => ScriptedReply): Model
}

export interface Scenario {
  /** The first is the one that is called. */
  agents: (notebook: Notebook) => readonly Agent[]
  /** Runs on one conversation, one after the other; the last one crashes. */
  inputs: readonly StartInput[]
  /** Decides what is asked; default: approves, and answers questions with `yes`. */
  decide?: (approval: ApprovalRecord) => { decision: 'approve' | 'reject' | 'answer'; answer?: unknown }
  /** Model calls, and executions of tools, that one crash may cost: how many may be without a commit. Default 1. */
  mayRepeat?: number
  /** Work goes on at several places: in which order is not known, nor what was used up for nothing. */
  parallel?: true
  /** Replies break off: each try has been used, also one that a crash makes again. */
  breaksOff?: true
}

export interface Trial {
  run: RunRecord
  events: RunEvent[]
  /** What was said, as models read it: by the call it was made for, the run's own under ''. */
  said: Record<string, string[]>
  asked: string[]
  executed: string[]
  /** Commits of the run, those that were lost left out. */
  commits: number
  crashed: boolean
}

/**
 * Runs the scenario; the engine dies before the commit with that number (from 0) of the last run, and another one goes on with
 * its data. What a process leaves that is killed between two commits is exactly that.
 */
export async function runTrial(scenario: Scenario, crashAt: number | undefined): Promise<Trial> {
  const notebook = createNotebook()
  const agents = scenario.agents(notebook)
  const [called] = agents
  if (!called) throw new Error('a scenario needs an agent')
  const died = Promise.withResolvers<'died'>()
  let armed = false
  let commits = 0
  let crashed = false
  const first = await startEngine({
    agents,
    async onCommit(_commit, next) {
      if (!armed) return next()
      if (crashed || commits === crashAt) {
        crashed = true
        died.resolve('died')
        return 'fenced'
      }
      commits++
      return next()
    },
  })
  for (const input of scenario.inputs.slice(0, -1)) {
    await first.finish({ agent: called.name, conversation: { session: 's' }, ...input })
  }
  notebook.asked.length = 0
  armed = true
  const run = await first.start({
    agent: called.name,
    conversation: { session: 's' },
    ...scenario.inputs.at(-1),
  })
  let engine = first
  if ((await Promise.race([bringToEnd(first, { run, scenario }), died.promise])) === 'died') {
    await first.stop()
    engine = await startEngine({
      agents,
      dataDir: first.dataDir,
      onCommit: (_commit, next) => (commits++, next()),
    })
    await bringToEnd(engine, { run, scenario })
  }
  onTestFinished(() => engine.stop())
  const trial: Trial = {
    run: await engine.load(run),
    events: await engine.events(run),
    said: await readSaid(engine, run),
    asked: notebook.asked,
    executed: notebook.executed,
    commits,
    crashed,
  }
  await engine.stop()
  return trial
}

function createNotebook(): Notebook {
  const asked: string[] = []
  return {
    asked,
    executed: [],
    model: (name, reply) =>
      scriptedModel(
        (request) => {
          asked.push(JSON.stringify([name, request.instructions ?? '', ...transcript(request)]))
          return reply(request)
        },
        { id: `scripted/${name}` },
      ),
  }
}

async function bringToEnd(
  engine: EngineUnderTest,
  { run, scenario }: { run: RunRecord; scenario: Scenario },
): Promise<'ended'> {
  for (;;) {
    const now = await engine.settled(run)
    if (now.status !== 'suspended') return 'ended'
    for (const approval of await engine.runs.pendingApprovals(now)) {
      const isQuestion = approval.question !== null
      const decision =
        scenario.decide?.(approval) ??
        (isQuestion ? ({ decision: 'answer', answer: 'yes' } as const) : ({ decision: 'approve' } as const))
      await engine.approvals.decide(anonymous, approval.id, decision)
    }
  }
}

async function readSaid(engine: EngineUnderTest, run: RunRecord): Promise<Trial['said']> {
  const said: Trial['said'] = {}
  const names = new Map<string, string>()
  for (const { item, void: isVoid, parent_call_id } of await engine.items(run)) {
    if (isVoid) continue
    if (item.type === 'tool_call') names.set(item.call_id, `${item.name} ${item.arguments}`)
    const whose = parent_call_id === null ? '' : (names.get(parent_call_id) ?? '?')
    ;(said[whose] ??= []).push(...transcript({ items: [item] }))
  }
  return said
}

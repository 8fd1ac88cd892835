import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { systemClock, sleep } from '../../src/clock.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { createId } from '../../src/ids.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { eventsOf } from '../../src/runs/runs.ts'
import { serve } from '../../src/serve.ts'
import { aiSdkAgent, token, upstreamModels } from '../models.ts'
import { answerCalls } from './calls.ts'

/*
 * The server under test, as `serve` makes it, with settings from the environment. What is added is only what a benchmark
 * has to ask from within: memory, gauges, and runs that commit without a client.
 */

const stepsOfCommitting = 5
let pauseMs = 0

const record = false
const scripted = agent({
  name: 'scripted',
  model: scriptedModel(() => 'A short answer of about eight words.', { record }),
})
const scripted100 = agent({
  name: 'scripted-100',
  model: scriptedModel(() => ({ text: Array.from({ length: 100 }, () => token) }), { record }),
})
const scriptedHang = agent({
  name: 'scripted-hang',
  model: scriptedModel(() => ({ text: [token], hang: true }), { record }),
})

/** Two commits a step, the reply and the result, with a pause in the tool. */
const committing = agent({
  name: 'committing',
  model: scriptedModel(
    ({ items }) =>
      items.length > stepsOfCommitting * 3
        ? 'Done.'
        : { text: 'Looking.', toolCalls: [{ name: 'look', arguments: {} }] },
    { record },
  ),
  tools: [
    tool({
      name: 'look',
      description: 'Looks.',
      effect: 'read',
      async execute(_input, { signal }) {
        // Of different lengths: runs that were started together shall not go on in step.
        if (pauseMs > 0) await sleep({ clock: systemClock, ms: pauseMs * (0.5 + Math.random()), signal })
        return 'seen'
      },
    }),
  ],
})

const parley = await serve({
  agents: [
    scripted,
    scripted100,
    scriptedHang,
    committing,
    ...upstreamModels.map((name) => agent({ name, model: `llm/${name}` })),
    agent({ name: aiSdkAgent, model: 'anthropic/tokens-100-0' }),
  ],
  // The same upstream, which knows by the path what it is to speak.
  providers: {
    anthropic: { baseURL: process.env.LLM_BASE_URL ?? '', keys: [{ name: 'bench', key: 'bench' }] },
  },
  signals: false,
})

let goOn = false
let committers: Promise<void>[] = []
let committed = 0

async function commitOn(): Promise<void> {
  while (goOn) {
    const { run } = await parley.runs.create({
      principal: anonymous,
      agent: 'committing',
      input: [
        { type: 'message', id: createId('item'), role: 'user', content: [{ type: 'text', text: 'Look.' }] },
      ],
      background: true,
    })
    for await (const event of eventsOf(parley.runs.read({ run, after: 0 }))) {
      if (event.type === 'run.start' || event.type === 'step.end' || event.type === 'tool.end') committed++
    }
  }
}

const calls = {
  gauges: () => parley.gauges(),
  /** Starts runs that commit until they are stopped; the pause is in the tool of each step. */
  startCommitting(input: { runs: number; pauseMs: number }): void {
    pauseMs = input.pauseMs
    committed = 0
    goOn = true
    committers = Array.from({ length: input.runs }, commitOn)
  },
  /** How many commits there were. */
  async stopCommitting(): Promise<number> {
    const count = committed
    goOn = false
    await Promise.all(committers)
    return count
  },
}
export type ParleyCalls = typeof calls

answerCalls(calls, { port: parley.port })

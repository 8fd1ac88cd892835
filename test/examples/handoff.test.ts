import { expect, onTestFinished, test } from 'vitest'
import { readEvents, startExample } from './example-process.ts'

test('the reception hands a caller to billing, who settles it, keeps the caller, and hands back what is not its own', async () => {
  const example = await startExample('examples/handoff.ts')
  onTestFinished(async () => {
    expect(await example.stop()).toBe(0)
  })
  const say = async (input: string) => {
    const body = { input, session_id: 's1', stream: true }
    const events = await readEvents(await example.request('/v1/agents/reception/runs', body))
    const text = events.flatMap(({ type, delta }) => (type === 'text.delta' ? [String(delta)] : [])).join('')
    const switches = events.filter(({ type }) => type === 'agent.switch')
    return {
      text,
      switches: switches.map(({ from, to, why }) => `${String(from)} → ${String(to)}: ${String(why)}`),
    }
  }
  expect(await say('Hello')).toEqual({ text: 'Good day. How can I help?', switches: [] })
  const charged = await say('I was charged twice.')
  expect(charged.switches).toEqual(['reception → billing: handoff: a question about charges'])
  expect(charged.text).toContain('20 are on their way back to you.')
  // Billing still has the caller.
  expect(await say('What are your opening hours?')).toEqual({
    text: 'Good day. How can I help?',
    switches: ['reception → billing: conversation', 'billing → reception: handoff: opening hours'],
  })
})

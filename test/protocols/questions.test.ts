import { expect, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { askUser } from '../../src/tools/ask-user.ts'
import { always, call, serving, type Json } from './server-under-test.ts'

/** A server whose agent asks once in each conversation, and the approval that a client sees then. */
async function askingServer() {
  const model = scriptedModel(({ items }) =>
    items.at(-1)?.type === 'tool_result'
      ? 'Tea it is.'
      : {
          toolCalls: [
            { name: 'ask_user', arguments: { question: 'What to drink?', choices: ['tea', 'milk'] } },
          ],
        },
  )
  const server = await serving(always(''), {
    agents: [agent({ name: 'assistant', model, tools: [askUser] })],
  })
  return { server, model }
}

const approval = {
  id: expect.stringMatching(/^appr_/),
  call_id: expect.stringMatching(/^call_/),
  tool: 'ask_user',
  arguments: { question: 'What to drink?', choices: ['tea', 'milk'] },
  reason: 'question',
  question: { message: 'What to drink?', schema: { type: 'string', enum: ['tea', 'milk'] } },
  expires_at: expect.stringMatching(/^\d{4}-.*Z$/),
}

test('a chat shows what is asked, and its session goes on with the answer', async () => {
  const { server, model } = await askingServer()
  const { status, json } = await call(server, '/chat', { message: 'I am thirsty.', session_id: 's' })
  expect(status).toBe(200)
  expect(json).toMatchObject({ answer: null, completed: false, status: 'suspended', approvals: [approval] })
  const behind = await call(server, '/chat', { message: 'Hello?', session_id: 's' })
  expect(behind).toMatchObject({ status: 409, json: { code: 'conversation_suspended' } })

  const { id } = json.approvals[0]
  await server.approvals.decide(anonymous, id, { decision: 'answer', answer: 'tea' })
  const run = await call(server, `/v1/runs/${json.run_id}/wait`)
  expect(run.json).toMatchObject({ status: 'completed', output: 'Tea it is.', approvals: [] })
  const next = await call(server, '/chat', { message: 'Thanks.', session_id: 's' })
  expect(next.status).toBe(200)
  const said = model.calls.at(-1)?.items.find(({ type }) => type === 'tool_result')
  expect(said).toMatchObject({ output: 'tea' })
})

test('the native API shows it on the run, in its list, where the run is created and to whoever would wait behind', async () => {
  const { server } = await askingServer()
  const body = { input: 'I am thirsty.', session_id: 's' }
  const created = await call(server, '/v1/agents/assistant/runs', body)
  expect(created.json).toMatchObject({ status: 'suspended', output: null, approvals: [approval] })
  const read = await call(server, `/v1/runs/${created.json.id}`)
  expect(read.json).toMatchObject({ status: 'suspended', approvals: created.json.approvals })
  const listed = await call(server, '/v1/runs?status=suspended')
  expect(listed.json.data).toMatchObject([{ approvals: created.json.approvals }])
  const behind = await call(server, '/v1/agents/assistant/runs', body)
  expect(behind).toMatchObject({ status: 409, json: { approvals: created.json.approvals } })
})

test('every stream shows it where it ends', async () => {
  const { server } = await askingServer()
  const framesOf = async (path: string, body?: unknown): Promise<Json[]> => {
    const response = await server.request(path, {
      headers: { accept: 'text/event-stream' },
      ...(body ? { body } : {}),
    })
    const text = await response.text()
    return [...text.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!) as Json)
  }
  const raw = await framesOf('/stream', { input: 'I am thirsty.' })
  expect(raw.at(-1)).toMatchObject({ status: 'suspended', approvals: [approval] })
  const typed = await framesOf('/stream?message=thirsty')
  expect(typed.at(-1)).toMatchObject({ type: 'run_end', data: { answer: null, approvals: [approval] } })
  const native = await framesOf('/v1/agents/assistant/runs', { input: 'I am thirsty.', stream: true })
  expect(native.at(-1)).toMatchObject({ type: 'run.suspend', approvals: [approval] })

  const { id } = native.at(-1).approvals[0]
  await server.approvals.decide(anonymous, id, { decision: 'answer', answer: 'tea' })
  const rest = await framesOf(`/v1/runs/${native[0].run_id}/events?after=${native.at(-1).seq}`)
  expect(rest[0]).toMatchObject({ type: 'approval.resolve', decision: 'answer', answer: 'tea' })
  expect(rest.at(-1)).toMatchObject({ type: 'run.end', status: 'completed' })
})

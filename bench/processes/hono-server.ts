import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { answerCalls } from './calls.ts'

/* The baseline for requests without an upstream, and for the start: Hono on Node, returning JSON the size of a run. */

const app = new Hono()
const usage = { input_tokens: 1, output_tokens: 8, total_tokens: 9 }
const run = {
  id: 'run_019a0000000070008000000000000000',
  object: 'run',
  status: 'completed',
  agent: 'scripted',
  conversation_id: null,
  parent_run_id: null,
  output: 'A short answer of about eight words.',
  stop_reason: 'final',
  steps: 1,
  usage,
  error: null,
  approvals: [],
  tool_calls: [],
  plan: null,
  metadata: {},
  created_at: '2026-01-01T00:00:00.000Z',
  started_at: '2026-01-01T00:00:00.000Z',
  ended_at: '2026-01-01T00:00:00.000Z',
}
app.post('/v1/agents/:agent/runs', (c) => c.json(run))
app.get('/ready', (c) => c.json({ status: 'ready' }))

const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(process.argv[2] ?? 0) }, () => {
  // A server on a TCP port has an address of this kind once it listens.
  answerCalls({}, { port: (server.address() as AddressInfo).port })
})

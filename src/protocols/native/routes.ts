import type { Agent } from '../../agent/definitions.ts'
import type { HttpApp, Mount } from '../../http/app.ts'
import { readJson } from '../../http/body.ts'
import { readIdempotency } from '../../http/idempotency.ts'
import type { HttpContext } from '../../http/request.ts'
import { sendEmpty, sendJson } from '../../http/respond.ts'
import { streamEvents } from '../../http/sse.ts'
import { parseInput } from '../../http/validation.ts'
import { isTerminal } from '../../run-state.ts'
import type { RunRecord } from '../../store/store.ts'
import { answerText, awaitRun, isSettled, openApprovals, type RunAnswer } from '../await-run.ts'
import { modelNameOf, type Protocol, type ProtocolDeps } from '../protocol.ts'
import { conversationRoutes } from './conversation-routes.ts'
import { decodeCreateRun, decodePosition, decodeToolResults, knownAgent } from './decode.ts'
import { createNativeEncoder, encodeAgent, encodeList, encodeRun } from './encode.ts'
import {
  cancelSchema,
  createRunSchema,
  eventsQuerySchema,
  listRunsSchema,
  toolResultsSchema,
  waitSchema,
} from './schema.ts'

/** Parley's own API, under `/v1`: everything a run is and can do, in problem+json and snake case. */
export const nativeProtocol: Protocol = {
  name: 'native',
  mount: (deps): Mount => ({
    owns: (path) => path.startsWith('/v1/'),
    routes(app) {
      agentRoutes(app, deps)
      runRoutes(app, deps)
      conversationRoutes(app, deps)
    },
  }),
}

const createRoute = '/v1/agents/:agent/runs'

function agentRoutes(app: HttpApp, deps: ProtocolDeps): void {
  const { agents, defaultModel, knownTools } = deps
  const shown = (agent: Agent) =>
    encodeAgent(agent, { model: modelNameOf(agent, defaultModel), known: knownTools(agent) })
  app.get('/v1/agents', (c) => {
    const data = [...agents.values()].map(shown)
    return sendJson(c, { body: encodeList({ data, has_more: false }) })
  })
  app.get('/v1/agents/:agent', (c) => {
    const agent = knownAgent(agents, c.req.param('agent'))
    return sendJson(c, { body: shown(agent) })
  })
  app.post(createRoute, (c) => createRun(c, deps, c.req.param('agent')))
}

async function createRun(c: HttpContext, deps: ProtocolDeps, agent: string): Promise<Response> {
  const { value, bytes } = await readJson(c)
  const body = parseInput(createRunSchema, value, 'body')
  knownAgent(deps.agents, agent)
  const idempotency = readIdempotency(c, { route: createRoute, bytes })
  const principal = c.get('principal')
  const { run } = await deps.runs.create(decodeCreateRun({ principal, agent, body, idempotency }))
  c.get('request').runId = run.id
  if (body.stream) return streamRun(c, deps, run)
  if (body.background) return sendAccepted(c, await viewRun(deps, run))
  return sendAnswer(c, deps, await awaitRun({ deps, context: c, run, after: 0, waitMs: deps.requestWaitMs }))
}

function streamRun(c: HttpContext, deps: ProtocolDeps, run: RunRecord): Promise<Response> {
  return streamEvents({
    context: c,
    reader: deps.runs.read({ run, after: 0 }),
    encoder: createNativeEncoder(),
    streams: deps.streams,
    headers: { 'content-location': `/v1/runs/${run.id}` },
  })
}

/** 200 with the run, whether it went well or not; 202 where it is not settled yet. */
async function sendAnswer(c: HttpContext, deps: ProtocolDeps, answer: RunAnswer): Promise<Response> {
  if (answer.outcome === 'gone') c.get('request').end(499)
  if (answer.outcome !== 'settled') return sendAccepted(c, await viewRun(deps, answer.run))
  const { run, text, approvals } = answer
  return sendJson(c, {
    headers: { 'content-location': `/v1/runs/${run.id}` },
    body: encodeRun({ run, text, approvals }),
  })
}

function sendAccepted(c: HttpContext, body: { id: string }): Response {
  return sendJson(c, {
    status: 202,
    headers: { location: `/v1/runs/${body.id}`, 'retry-after': '1' },
    body,
  })
}

/** A run as the store has it. */
async function viewRun(deps: ProtocolDeps, run: RunRecord) {
  const [text, approvals] = await Promise.all([answerText(deps, run), openApprovals(deps, run)])
  return encodeRun({ run, text, approvals })
}

function runRoutes(app: HttpApp, deps: ProtocolDeps): void {
  const { runs } = deps

  app.get('/v1/runs', async (c) => {
    const query = parseInput(listRunsSchema, c.req.query(), 'query')
    const { data, has_more } = await runs.list(c.get('principal'), query)
    const views = await Promise.all(data.map((run) => viewRun(deps, run)))
    return sendJson(c, { body: encodeList({ data: views, has_more }) })
  })

  app.get('/v1/runs/:id', async (c) => sendJson(c, { body: await viewRun(deps, await findRun(c, deps)) }))
  app.get('/v1/runs/:id/wait', (c) => waitForRun(c, deps))
  app.get('/v1/runs/:id/events', (c) => readEvents(c, deps))

  app.post('/v1/runs/:id/cancel', async (c) => {
    const { value } = await readJson(c, { optional: true })
    const { reason } = parseInput(cancelSchema, value ?? {}, 'body')
    const id = c.req.param('id')
    c.get('request').runId = id
    const { run, ended } = await runs.cancel(c.get('principal'), id, reason ?? 'requested')
    const body = await viewRun(deps, run)
    return ended ? sendJson(c, { body }) : sendAccepted(c, body)
  })

  app.post('/v1/runs/:id/tool_results', async (c) => {
    const { value } = await readJson(c)
    const results = decodeToolResults(parseInput(toolResultsSchema, value, 'body'))
    const id = c.req.param('id')
    c.get('request').runId = id
    return sendJson(c, {
      body: await viewRun(deps, await runs.addToolResults(c.get('principal'), id, results)),
    })
  })
}

/** The run of the path. Throws `run_not_found`. */
async function findRun(c: HttpContext, deps: ProtocolDeps): Promise<RunRecord> {
  const run = await deps.runs.get(c.get('principal'), c.req.param('id') ?? '')
  c.get('request').runId = run.id
  return run
}

/** Joins a run: its state at its end or its suspension, or as it is when the wait is over. */
async function waitForRun(c: HttpContext, deps: ProtocolDeps): Promise<Response> {
  const { timeout_ms = deps.requestWaitMs } = parseInput(waitSchema, c.req.query(), 'query')
  const run = await findRun(c, deps)
  if (isSettled(run)) return sendJson(c, { body: await viewRun(deps, run) })
  const waitMs = Math.min(timeout_ms, deps.requestWaitMs)
  const answer = await awaitRun({ deps, context: c, run, after: run.last_seq, waitMs })
  if (answer.outcome === 'settled') return sendAnswer(c, deps, answer)
  if (answer.outcome === 'gone') c.get('request').end(499)
  return sendJson(c, { body: await viewRun(deps, answer.run) })
}

async function readEvents(c: HttpContext, deps: ProtocolDeps): Promise<Response> {
  const { after: query } = parseInput(eventsQuerySchema, c.req.query(), 'query')
  const run = await findRun(c, deps)
  const after = decodePosition({ run, header: c.req.header('last-event-id'), query })
  // The client has it all: 204 tells an `EventSource` not to come back.
  if (isTerminal(run.status) && after >= run.last_seq) return sendEmpty(c, { status: 204 })
  return streamEvents({
    context: c,
    reader: deps.runs.read({ run, after }),
    encoder: createNativeEncoder(),
    streams: deps.streams,
    settle: { clock: deps.clock },
  })
}

import { AppError } from '../../errors.ts'
import type { HttpApp, Mount } from '../../http/app.ts'
import { readJson } from '../../http/body.ts'
import { refuseOtherOrigins } from '../../http/host-guard.ts'
import { readIdempotency } from '../../http/idempotency.ts'
import type { HttpContext } from '../../http/request.ts'
import { sendEmpty, sendJson } from '../../http/respond.ts'
import { streamEvents } from '../../http/sse.ts'
import { toIsoDate } from '../../clock.ts'
import { isTerminal } from '../../run-state.ts'
import type { RunRecord } from '../../store/store.ts'
import { awaitRun } from '../await-run.ts'
import type { Protocol, ProtocolDeps } from '../protocol.ts'
import {
  decodeChat,
  decodeGetStream,
  decodePostStream,
  decodeResume,
  toCreateRun,
  type QuickRequest,
} from './decode.ts'
import { createRawTextEncoder, createTypedFrameEncoder, encodeChat, encodeChatFailure } from './encode.ts'
import { parseFields, renderDetail } from './errors.ts'
import { readResumed } from './resumed-reader.ts'
import { getStreamSchema } from './schema.ts'

/** The quick routes: no ids to learn first, one agent, and the bodies of the five systems they stand for. */
export const rootProtocol: Protocol = {
  name: 'root',
  mount: (deps): Mount => ({
    owns: (path) => path === '/chat' || path === '/stream' || path.startsWith('/sessions/'),
    renderError: renderDetail,
    routes(app) {
      app.post('/chat', (c) => chat(c, deps))
      app.get('/stream', (c) => streamTyped(c, deps))
      app.post('/stream', (c) => streamRaw(c, deps))
      sessionRoutes(app, deps)
    },
  }),
}

/** The name a client may call the run's session by. */
function sessionNameOf(run: RunRecord, asked: string | null): string | null {
  return asked ?? run.conversation_id
}

async function chat(c: HttpContext, deps: ProtocolDeps): Promise<Response> {
  const { value, bytes } = await readJson(c)
  const request = decodeChat(value)
  const started = await startQuick(c, deps, { request, bytes })
  const answer = await awaitRun({
    deps,
    context: c,
    run: started,
    after: 0,
    waitMs: deps.requestWaitMs,
  })
  const { run } = answer
  const session = sessionNameOf(run, request.session)
  if (answer.outcome === 'gone') c.get('request').end(499)
  if (answer.outcome !== 'settled') return sendWaiting(c, run, session)
  const headers = { 'content-location': `/v1/runs/${run.id}` }
  if (run.status === 'failed' || run.status === 'cancelled') {
    return sendJson(c, { ...encodeChatFailure(run, c.get('request').id), headers })
  }
  const { text, approvals } = answer
  const body = encodeChat({ run, text, session, approvals, now: deps.clock.now() })
  return sendJson(c, { body, headers })
}

/** The wait was over before the run was: where to look for it. */
function sendWaiting(c: HttpContext, run: RunRecord, session: string | null): Response {
  return sendJson(c, {
    status: 202,
    headers: { location: `/v1/runs/${run.id}`, 'retry-after': '1' },
    body: { status: run.status, run_id: run.id, session_id: session, conversation_id: session },
  })
}

/**
 * Kawai's stream. An `EventSource` (it accepts `text/event-stream`) gets ids, and with one of them comes back to the same
 * run: that request never starts another. Other clients get data lines alone.
 */
async function streamTyped(c: HttpContext, deps: ProtocolDeps): Promise<Response> {
  refuseOtherOrigins(c)
  const ids = /\btext\/event-stream\b/i.test(c.req.header('accept') ?? '')
  const query = parseFields(getStreamSchema, c.req.query(), 'query')
  // Looking at the headers of a stream starts nothing.
  if (c.req.method === 'HEAD') {
    return sendEmpty(c, { status: 200, headers: { 'content-type': 'text/event-stream' } })
  }
  const lastEventId = c.req.header('last-event-id')
  const resume = decodeResume(lastEventId)
  // It has read a stream before, though not one of ours: running its prompt again is what must not happen.
  if (lastEventId && !resume) return sendEmpty(c, { status: 204 })
  const run = resume
    ? await findResumed(c, deps, resume)
    : await startQuick(c, deps, { request: decodeGetStream(query) })
  if (!run) return sendEmpty(c, { status: 204 })
  c.get('request').runId = run.id
  const session = sessionNameOf(run, query.session_id ?? null)
  return streamEvents({
    context: c,
    reader: resume
      ? readResumed({ runs: deps.runs, run, seen: resume.after })
      : deps.runs.read({ run, after: 0 }),
    encoder: createTypedFrameEncoder({
      prompt: query.message,
      session,
      runId: run.id,
      after: resume?.after ?? 0,
      ids,
      now: () => deps.clock.now(),
    }),
    streams: deps.streams,
    heartbeat: ids,
    headers: streamHeaders(run, session),
    settle: resume && { clock: deps.clock },
  })
}

/** The run of a `Last-Event-ID`; undefined (204: do not come back) where the client has seen its end, or it is gone. */
async function findResumed(
  c: HttpContext,
  deps: ProtocolDeps,
  { runId, after }: { runId: string; after: number },
): Promise<RunRecord | undefined> {
  try {
    const run = await deps.runs.get(c.get('principal'), runId)
    return isTerminal(run.status) && after >= run.last_seq ? undefined : run
  } catch (error) {
    if (AppError.is(error) && error.code === 'run_not_found') return undefined
    throw error
  }
}

/** Beluga's stream: the text itself, as it comes. */
async function streamRaw(c: HttpContext, deps: ProtocolDeps): Promise<Response> {
  const { value, bytes } = await readJson(c)
  const request = decodePostStream(value)
  const run = await startQuick(c, deps, { request, bytes })
  return streamEvents({
    context: c,
    reader: deps.runs.read({ run, after: 0 }),
    encoder: createRawTextEncoder(),
    streams: deps.streams,
    headers: streamHeaders(run, sessionNameOf(run, request.session)),
  })
}

async function startQuick(
  c: HttpContext,
  deps: ProtocolDeps,
  input: { request: QuickRequest; bytes?: Uint8Array },
): Promise<RunRecord> {
  const { request, bytes } = input
  const idempotency = bytes && readIdempotency(c, { route: c.req.path, bytes })
  const principal = c.get('principal')
  const { run } = await deps.runs.create(
    toCreateRun(request, { principal, agent: deps.defaultAgent, idempotency }),
  )
  c.get('request').runId = run.id
  return run
}

function streamHeaders(run: RunRecord, session: string | null): Record<string, string> {
  return {
    'content-location': `/v1/runs/${run.id}`,
    'x-run-id': run.id,
    // A session's name is the client's text; a header takes only ASCII.
    ...(session !== null && { 'x-session-id': encodeURIComponent(session) }),
  }
}

function sessionRoutes(app: HttpApp, { conversations }: ProtocolDeps): void {
  app.get('/sessions/:id', async (c) => {
    const session = await findSession(c, conversations)
    return sendJson(c, {
      body: {
        session_id: session.key ?? session.id,
        created_at: toIsoDate(session.created_at),
        last_accessed: toIsoDate(session.used_at),
        message_count: await conversations.countMessages(c.get('principal'), session.id),
      },
    })
  })

  app.delete('/sessions/:id', async (c) => {
    const session = await findSession(c, conversations)
    await conversations.delete(c.get('principal'), session.id)
    return sendJson(c, { body: { session_id: session.key ?? session.id, deleted: true } })
  })
}

async function findSession(c: HttpContext, conversations: ProtocolDeps['conversations']) {
  try {
    return await conversations.findSession(c.get('principal'), c.req.param('id') ?? '')
  } catch (error) {
    if (!AppError.is(error) || error.code !== 'conversation_not_found') throw error
    throw new AppError('conversation_not_found', { message: 'Session not found' })
  }
}

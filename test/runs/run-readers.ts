import { AppError } from '../../src/errors.ts'
import type { EventOf } from '../../src/events.ts'
import { anonymous } from '../../src/identity/principal.ts'
import type { TestServer } from '../../src/testing/test-server.ts'
import { readFrames, type Frame } from './frame-client.ts'

/** A way to read a run whose stream is cut again and again. */
export interface CutPlan {
  /** Bytes after which the first, second… connection is cut; later ones are not. */
  cuts: number[]
  /** How the position is given. */
  resume: 'header' | 'query' | 'run-and-seq'
  /** Bytes to read at a time, where the reader dawdles. */
  sip: number | undefined
}

export interface JoinedReading {
  frames: Frame[]
  /** Connections that were cut before the server ended them. */
  cuts: number
}

/** Reads a run to its end over as many connections as it takes, each from the last whole frame of the one before. */
export async function readThroughCuts(
  at: { url: string; runId: string },
  plan: CutPlan,
): Promise<JoinedReading> {
  const frames: Frame[] = []
  const left = [...plan.cuts]
  let cuts = 0
  while (frames.at(-1)?.event.type !== 'run.end') {
    const cutAfter = left.shift()
    const reading = await readFrames({
      url: at.url,
      ...position(at.runId, { after: frames.at(-1)?.seq ?? 0, resume: plan.resume }),
      ...(cutAfter === undefined ? {} : { cutAfter }),
      ...(plan.sip === undefined ? {} : { sip: plan.sip }),
    })
    frames.push(...reading.frames)
    if (!reading.ended) cuts++
    else if (reading.frames.length === 0)
      throw new Error('a stream ended without an event and without an end')
  }
  return { frames, cuts }
}

function position(runId: string, from: { after: number; resume: CutPlan['resume'] }) {
  const path = `/v1/runs/${runId}/events`
  const { after, resume } = from
  if (after === 0) return { path }
  if (resume === 'query') return { path: `${path}?after=${after}` }
  return { path, headers: { 'last-event-id': resume === 'header' ? `${after}` : `${runId}:${after}` } }
}

/** The whole log of a run that has ended, as the server tells it now. */
export async function readWhole(at: { url: string; runId: string }): Promise<Frame[]> {
  const { frames } = await readThroughCuts(at, { cuts: [], resume: 'header', sip: undefined })
  return frames
}

/** Decides what a suspension waits for, and gives the results of the caller's own tools. A cancel may be faster. */
export async function answerSuspension(
  at: { server: TestServer; runId: string },
  suspension: EventOf<'run.suspend'>,
  decide: () => 'approve' | 'reject',
): Promise<void> {
  const { approvals, runs } = at.server
  try {
    for (const { id } of suspension.approvals) {
      await approvals.decide(anonymous, id, { decision: decide(), reason: 'as planned' })
    }
    const results = suspension.tool_calls.map(({ call_id }) => ({ call_id, output: `done ${call_id}` }))
    if (results.length > 0) await runs.addToolResults(anonymous, at.runId, results)
  } catch (error) {
    if (!AppError.is(error) || !['approval_decided', 'run_not_suspended'].includes(error.code)) throw error
  }
}

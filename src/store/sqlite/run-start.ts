/** The `run.start` event. Written by hand in this order because the create path makes one per run. */
export function runStart(input: {
  seq: number
  run_id: string
  agent: string
  definition: string | null
  model: string | null
  conversation_id: string | null
  attempt: number
  now: number
}): string {
  const { seq, run_id, agent, definition, model, conversation_id, attempt, now } = input
  return JSON.stringify({
    seq,
    type: 'run.start',
    run_id,
    agent,
    definition,
    model,
    conversation_id,
    attempt,
    at: new Date(now).toISOString(),
  })
}

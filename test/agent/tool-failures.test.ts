import { describe, expect, test } from 'vitest'
import { tool } from '../../src/agent/tool.ts'
import { AppError, type ErrorCode } from '../../src/errors.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { eventsOfType, startEngine, transcript } from './engine-under-test.ts'

/** One call of a tool that throws. */
async function failure(error: unknown, effect: 'read' | 'write' = 'write') {
  const it = tool({
    name: 'it',
    description: 'Fails.',
    effect,
    execute: () => {
      throw error
    },
  })
  const model = scriptedModel([{ toolCalls: [{ name: 'it', arguments: {} }] }, 'Went on.'])
  const engine = await startEngine({ model, agent: { tools: [it] } })
  const { run, events } = await engine.finish()
  const [end] = eventsOfType(events, 'tool.end')
  const [ledger] = await engine.store.ledger.ofRun(run.id)
  return { error: end?.error, read: transcript(model.calls[1]).at(-1), ledger: ledger?.state, run }
}

describe('a tool that throws an error with a code of its own', () => {
  test('tool_failed: its message is shown', async () => {
    const { error, read, ledger } = await failure(new AppError('tool_failed', { message: 'No such city.' }))
    expect(error).toEqual({ code: 'tool_failed', message: 'No such city.' })
    expect(read).toBe('result Error: No such city.')
    expect(ledger).toBe('committed')
  })

  test('tool_timeout keeps its code', async () => {
    const { error, read, ledger } = await failure(new AppError('tool_timeout', { message: 'No answer.' }))
    expect(error).toEqual({ code: 'tool_timeout', message: 'No answer.' })
    expect(read).toBe('result Error: No answer.')
    expect(ledger).toBe('committed')
  })

  test.each(['read', 'write'] as const)(
    'outcome_unknown of a %s: the ledger says that nobody knows, and nothing claims that it failed',
    async (effect) => {
      const { error, read, ledger, run } = await failure(
        new AppError('outcome_unknown', { message: 'The line went dead. Do not repeat it.' }),
        effect,
      )
      expect(error).toEqual({ code: 'outcome_unknown', message: 'The line went dead. Do not repeat it.' })
      expect(read).toBe('result The line went dead. Do not repeat it.')
      expect(ledger).toBe('unknown')
      expect(run.status).toBe('completed')
    },
  )

  test('a very long message is cut', async () => {
    const { error, read } = await failure(new AppError('outcome_unknown', { message: 'x'.repeat(100_000) }))
    expect(error?.message.length).toBeLessThan(2_200)
    expect(error?.message).toContain('[cut: 98000 of 100000 characters are missing]')
    expect(read?.length).toBeLessThan(2_200)
  })

  test.each(['tool_refused', 'tool_bad_arguments'] as const)(
    '%s is a code for tools to use',
    async (code) => {
      const { error, ledger } = await failure(new AppError(code, { message: 'Not that.' }))
      expect(error).toEqual({ code, message: 'Not that.' })
      expect(ledger).toBe('committed')
    },
  )

  test.each<ErrorCode>(['tool_rejected', 'invalid_request', 'internal', 'run_cancelled'])(
    '%s, which is not for tools to say, is tool_failed',
    async (code) => {
      const { error, read, run } = await failure(new AppError(code, { message: 'Told to the model.' }))
      expect(error).toEqual({ code: 'tool_failed', message: 'The tool failed.' })
      expect(read).toBe('result Error: Told to the model.')
      expect(run.status).toBe('completed')
    },
  )
})

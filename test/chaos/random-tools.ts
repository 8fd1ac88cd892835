import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { z } from 'zod'
import type { ToolContext, ToolEffect } from '../../src/agent/definitions.ts'
import { tool } from '../../src/agent/tool.ts'
import { appendCall, appendLine } from './fixture-link.ts'

/** What the model gives every tool. */
const input = z.object({
  delayMs: z.int(),
  fails: z.boolean(),
})

interface RandomToolOptions {
  effect: ToolEffect
  approval?: 'required'
  /** How many questions it asks before it does anything. */
  questions?: number
}

/** Writes down that it runs, takes its time, and sometimes throws. */
function randomTool(name: string, options: RandomToolOptions) {
  const { questions = 0, ...rest } = options
  return tool({
    name,
    description: name,
    input,
    ...rest,
    async execute({ delayMs, fails }, context) {
      for (let number = 1; number <= questions; number++) {
        const answer = await context.ask({ message: `question ${number}` })
        // The same answers in the same order, however often it runs.
        const content = answer.action === 'accept' ? answer.content : answer.action
        if (content !== `answer ${number}` && answer.action === 'accept') {
          appendLine('faults.jsonl', {
            fault: `${context.callId}: question ${number} got ${String(content)}`,
          })
        }
      }
      refuseCommitted(context)
      appendCall({
        run: context.runId,
        call: context.callId,
        key: context.idempotencyKey,
        tool: name,
        at: Date.now(),
      })
      if (delayMs > 0) await sleep(delayMs)
      if (fails) throw new Error('as asked')
      return `${name} ran`
    },
  })
}

let db: Database.Database | undefined

/** A call whose result is on the disk must not run again. */
function refuseCommitted({ runId, callId }: ToolContext): void {
  db ??= new Database(join(process.env.DATA_DIR ?? '.', 'parley.db'), { readonly: true })
  const result = db
    .prepare(
      `SELECT 1 FROM items WHERE run_id = ? AND item ->> '$.type' = 'tool_result' AND item ->> '$.call_id' = ?`,
    )
    .get(runId, callId)
  if (result !== undefined)
    appendLine('faults.jsonl', { fault: `${callId} runs though its result is committed` })
}

export const randomTools = {
  read: randomTool('read', { effect: 'read' }),
  idempotent: randomTool('idempotent', { effect: 'idempotent' }),
  write: randomTool('write', { effect: 'write' }),
  gated: randomTool('gated', { effect: 'write', approval: 'required' }),
  asking: randomTool('asking', { effect: 'idempotent', questions: 2 }),
  asking_write: randomTool('asking_write', { effect: 'write', questions: 1 }),
}

/** Tools of which a person must agree to every start but perhaps the first. */
export const writeTools: ReadonlySet<string> = new Set(['write', 'gated', 'asking_write'])

export function isRandomTool(name: string): boolean {
  return name in randomTools
}

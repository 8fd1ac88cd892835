import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Item } from '../../src/items.ts'

/** What the fixture tells the test that started it. */
export type FixtureMessage =
  /** It has come to a place where it waits to be released, or killed. */
  | { kind: 'hold'; name: string }
  /** The model was asked. */
  | { kind: 'request'; items: readonly Item[] }
  /** All that was to tell before the question has been told. */
  | { kind: 'told' }
  | { kind: 'decided'; approvalId: string; error: string | null }

/** What the test tells the fixture. */
export type TestMessage =
  { kind: 'release'; name: string } | { kind: 'tell' } | ({ kind: 'decide'; approvalId: string } & Decision)

export type Decision = { decision: 'approve' | 'reject' } | { decision: 'answer'; answer: unknown }

/** One execution of a tool, as it stands in `calls.jsonl`. */
export interface CallLine {
  run: string
  call: string
  key: string
  tool: string
  /** Milliseconds since 1970. */
  at: number
}

export function tell(message: FixtureMessage): void {
  process.send?.(message)
}

const released = new Set(process.env.FIXTURE_RELEASED?.split(','))
const waiting = new Map<string, (() => void)[]>()
process.on('message', (message: TestMessage) => {
  if (message.kind === 'tell') tell({ kind: 'told' })
  if (message.kind !== 'release') return
  released.add(message.name)
  for (const go of waiting.get(message.name) ?? []) go()
})
// Without its test nobody would end it.
process.on('disconnect', () => process.exit(1))

/** Stands still until the test releases this place. */
export async function hold(name: string): Promise<void> {
  if (released.has(name)) return
  await new Promise<void>((resolve) => {
    waiting.set(name, [...(waiting.get(name) ?? []), resolve])
    tell({ kind: 'hold', name })
  })
}

/** Adds a line to a file of the fixture's folder. On its way to the disk when it returns: a kill cannot take it back. */
export function appendLine(file: string, line: unknown): void {
  const descriptor = openSync(join(process.env.FIXTURE_DIR ?? '.', file), 'a')
  writeSync(descriptor, `${JSON.stringify(line)}\n`)
  closeSync(descriptor)
}

export function appendCall(line: CallLine): void {
  appendLine('calls.jsonl', line)
}

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { errorCodes } from '../../src/errors.ts'
import { root } from './source-files.ts'

const page = readFileSync(join(root, 'docs', 'errors.md'), 'utf8')

test('the table of codes in docs/errors.md is the table in the sources, row for row', () => {
  const rows = Object.entries(errorCodes).map(
    ([code, { status, retryable, title }]) =>
      `| \`${code}\` | ${status} | ${retryable ? 'yes' : 'no'} | ${title} |`,
  )
  expect(tableUnder('## Codes')).toEqual([
    '| code | status | retryable | title |',
    '|---|---|---|---|',
    ...rows,
  ])
})

test('the page tells of every error a tool call can have, and of no other', () => {
  const told = tableUnder('## Errors of tools').flatMap((row) => /^\| `(\w+)` \|/.exec(row)?.[1] ?? [])
  const codes = Object.keys(errorCodes).filter(
    (code) => code.startsWith('tool_') || code === 'outcome_unknown',
  )
  expect(told.toSorted()).toEqual(codes.toSorted())
})

test('every code the page names exists', () => {
  const named = [...page.matchAll(/"code": "(\w+)"/g)].map(([, code]) => code!)
  expect(named.length).toBeGreaterThan(0)
  for (const code of named) expect(Object.keys(errorCodes)).toContain(code)
})

/** The first table below a heading, line by line. */
function tableUnder(heading: string): string[] {
  const [, section = ''] = page.split(`\n${heading}\n`)
  const lines = section.split('\n')
  const start = lines.findIndex((line) => line.startsWith('|'))
  const length = lines.slice(start).findIndex((line) => !line.startsWith('|'))
  return start === -1 ? [] : lines.slice(start, start + length)
}

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startExample } from './example-process.ts'

interface Answer {
  answer: string | null
  status?: string
  run_id: string
  approvals?: { tool: string; arguments: unknown }[]
}

test('the secretary searches its notes, and adds none before a person agrees', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'parley-notes-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const file = join(folder, 'notes.txt')
  await writeFile(file, 'water the flowers\nbuy stamps\n')
  const example = await startExample('examples/mcp-notes.ts', { NOTES_FILE: file })
  const chat = async (message: string) =>
    (await (await example.request('/chat', { message })).json()) as Answer
  try {
    const { answer } = await chat('Search my notes for flowers')
    expect(answer).toContain('The tool notes_search answered: water the flowers (')
    expect((await chat('Search my notes for dragons')).answer).toContain('No note about that.')
    const text = 'Add to my notes: feed the cat'
    const waiting = await chat(text)
    expect(waiting).toMatchObject({
      status: 'suspended',
      approvals: [{ tool: 'notes_add', arguments: { text } }],
    })
    expect(await readFile(file, 'utf8')).not.toContain('cat')
  } finally {
    expect(await example.stop()).toBe(0)
  }
})

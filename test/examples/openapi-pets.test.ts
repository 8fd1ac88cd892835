import { expect, onTestFinished, test } from 'vitest'
import { startExample } from './example-process.ts'

interface Answer {
  answer: string | null
  status?: string
  approvals?: { tool: string; arguments: unknown }[]
}

test('the shelter lists its pets over its API, and gives none away before a person agrees', async () => {
  const example = await startExample('examples/openapi-pets.ts')
  onTestFinished(async () => {
    expect(await example.stop()).toBe(0)
  })
  const chat = async (message: string) =>
    (await (await example.request('/chat', { message })).json()) as Answer

  expect((await chat('Which cats are there?')).answer).toBe(
    'The shelter says: [{"id":1,"name":"Tom","kind":"cat"}]',
  )
  expect((await chat('Which pets are there?')).answer).toContain('Rex')
  expect(await chat('We take number 2.')).toMatchObject({
    status: 'suspended',
    approvals: [{ tool: 'adoptPet', arguments: { petId: 2, body: { family: 'Miller' } } }],
  })
  expect((await chat('Which pets are there?')).answer).toContain('Rex')
})

import { expect, onTestFinished, test } from 'vitest'
import { startExample } from './example-process.ts'

test('the listener knows what was said long ago from its summaries, and the newest turns as they were', async () => {
  const example = await startExample('examples/long-chat.ts')
  onTestFinished(async () => {
    expect(await example.stop()).toBe(0)
  })
  const say = async (message: string) => {
    const response = await example.request('/chat', { message, session_id: 's1' })
    return ((await response.json()) as { answer: string }).answer
  }
  for (const text of ['I am Ann.', 'I have a cat.', 'It is grey.', 'It sleeps.', 'It snores.']) {
    expect(await say(text)).toBe('I see.')
  }
  expect(await say('What do you know?')).toBe(
    [
      'Summary of the conversation before this point:',
      'I am Ann.',
      'I have a cat.',
      'It is grey.',
      'It sleeps.',
      'I see.',
      'It snores.',
      'I see.',
    ].join('\n'),
  )
  for (const text of ['It eats.', 'It purrs.', 'It is old.']) await say(text)
  const known = await say('What do you know?')
  expect(known.split('\n').slice(0, 7)).toEqual([
    'Summary of the conversation before this point:',
    'I am Ann.',
    'I have a cat.',
    'It is grey.',
    'It sleeps.',
    'It snores.',
    'What do you know?',
  ])
})

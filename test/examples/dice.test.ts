import { expect, test } from 'vitest'
import { startExample } from './example-process.ts'

test('the dice agent rolls with its tool and answers with the number', async () => {
  const example = await startExample('examples/dice.ts')
  try {
    const response = await example.request('/chat', { message: 'Please roll dice with 20 sides.' })
    expect(response.status).toBe(200)
    const { answer, completed, steps } = (await response.json()) as {
      answer: string
      completed: boolean
      steps: number
    }
    const rolled = Number(/^The tool roll_dice answered: (\d+) /.exec(answer)?.[1])
    expect(rolled).toBeGreaterThanOrEqual(1)
    expect(rolled).toBeLessThanOrEqual(20)
    expect({ completed, steps }).toEqual({ completed: true, steps: 2 })
  } finally {
    expect(await example.stop()).toBe(0)
  }
})

import { z } from 'zod'
import { agent } from '../../../src/agent/agent.ts'
import type { Agent, ModelChoice } from '../../../src/agent/definitions.ts'
import { tool } from '../../../src/agent/tool.ts'

const getWeather = tool({
  name: 'get_weather',
  description: 'The weather of a city.',
  effect: 'read',
  input: z.object({ city: z.string(), unit: z.enum(['C', 'F']).default('C') }),
  execute({ city }) {
    if (city === 'Atlantis') throw new Error('no such city')
    return { city, sky: 'rain' }
  },
})

/** The agent that every provider serves, and which nothing of it knows: only the model differs. */
export function travelAgent(model: ModelChoice | readonly ModelChoice[]): Agent {
  return agent({
    name: 'travel',
    description: 'Plans trips.',
    model,
    instructions: 'You plan trips. Be brief.',
    tools: [getWeather],
    settings: { reasoningEffort: 'medium', maxOutputTokens: 2000 },
    overrides: { model: true },
  })
}

import { agent, tool, type Agent } from 'parleykit'
import { z } from 'zod'

/** Where forecasts come from: the outside world, which a test replaces. */
export interface Stations {
  forecast(city: string, signal: AbortSignal): Promise<string>
  publish(warning: string): Promise<void>
}

export function createWeatherDesk(stations: Stations): Agent {
  return agent({
    name: 'weather',
    model: 'openai/gpt-4o-mini',
    instructions: () =>
      `You are the weather desk. Today is ${new Date().toISOString().slice(0, 10)}. Look forecasts up, never guess them.`,
    tools: [
      tool({
        name: 'get_forecast',
        description: 'The forecast of a city for today.',
        input: z.object({ city: z.string() }),
        effect: 'read',
        timeoutMs: 5_000,
        execute: ({ city }, { signal }) => stations.forecast(city, signal),
      }),
      tool({
        name: 'publish_warning',
        description: 'Publishes a weather warning. A person looks at it first.',
        input: z.object({ text: z.string() }),
        approval: 'required',
        execute: async ({ text }) => {
          await stations.publish(text)
          return 'published'
        },
      }),
    ],
  })
}

const forecasts = new Map([
  ['oslo', 'storm from the north, gusts of 28 m/s'],
  ['lisbon', 'sunny, 24 °C'],
])

// Served by `parley serve examples/weather-agent/agent.ts`. A real desk would ask a service here.
export default createWeatherDesk({
  forecast: (city) => Promise.resolve(forecasts.get(city.toLowerCase()) ?? 'no forecast for this place'),
  publish: (warning) => Promise.resolve(console.log(`WARNING: ${warning}`)),
})

/*
 * An agent that plans before it acts, and plans again after every second step with what it has found out.
 *
 *   npm start -- examples/planner.ts
 *   curl -s http://127.0.0.1:8080/chat -H 'content-type: application/json' -d '{"message":"A day at the sea, please."}'
 *
 * Its models are scripted, so that it needs no account: name real ones instead.
 */
import { agent, scriptedModel, tool, type ModelRequest } from 'parleykit'
import { z } from 'zod'

const findTrains = tool({
  name: 'find_trains',
  description: 'Finds trains from Berlin on a day.',
  input: z.object({ to: z.string(), day: z.string() }),
  effect: 'read',
  execute: ({ to }) => ({ to, leaves: '07:32', arrives: '10:15' }),
})

const getForecast = tool({
  name: 'get_forecast',
  description: 'The weather of a place on a day.',
  input: z.object({ place: z.string(), day: z.string() }),
  effect: 'read',
  execute: ({ place }) => (place === 'Warnemünde' ? 'Rain all day.' : 'Sun and a light wind.'),
})

const clerk = scriptedModel(bookTrip, { id: 'scripted/clerk' })
const planner = scriptedModel(thinkAhead, { id: 'scripted/planner' })

// #region agent
export default agent({
  name: 'trip-desk',
  model: clerk,
  instructions: 'You arrange day trips from Berlin.',
  tools: [findTrains, getForecast],
  // A plan before the first step, and a new one after every second.
  planning: { every: 2, model: planner },
})
// #endregion

/** Stands for a model that follows the plan. */
function bookTrip({ items }: ModelRequest) {
  const day = 'Saturday'
  const found = items.flatMap((item) => (item.type === 'tool_result' ? [item.output] : []))
  switch (found.length) {
    case 0:
      return call('get_forecast', { place: 'Warnemünde', day })
    case 1:
      return call('get_forecast', { place: 'Binz', day })
    case 2:
      return call('find_trains', { to: 'Binz', day })
    default:
      return 'Take the 07:32 to Binz on Saturday: it will be sunny there. In Warnemünde it rains.'
  }
}

/** Stands for a model that is good at plans. */
function thinkAhead({ items }: ModelRequest): string {
  const rains = JSON.stringify(items).includes('Rain all day.')
  return rains
    ? 'Known: it rains in Warnemünde, Binz is sunny. Next: a train to Binz, then answer.'
    : 'To find out: where the weather is good on Saturday, Warnemünde or Binz. Then: a train there.'
}

function call(name: string, input: Record<string, unknown>) {
  return { toolCalls: [{ name, arguments: input }] }
}

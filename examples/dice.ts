import { agent, tool } from 'parleykit'
import { z } from 'zod'

const rollDice = tool({
  name: 'roll_dice',
  description: 'Rolls one die and returns the number it shows.',
  input: z.object({ sides: z.int().min(2).max(100) }),
  effect: 'read',
  execute: ({ sides }) => 1 + Math.floor(Math.random() * sides),
})

export default agent({
  name: 'dice',
  instructions: 'You lead a game. Roll with your tool, never in your head.',
  tools: [rollDice],
})

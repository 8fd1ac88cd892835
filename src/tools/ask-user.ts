import { z } from 'zod'
import type { Tool, ZodOrJsonSchema } from '../agent/definitions.ts'
import { parseDefinition } from '../parse-definition.ts'
import { tool } from '../agent/tool.ts'

export interface AskUserOptions {
  /** Default `ask_user`. */
  name?: string
  /** When the model is to ask, and what. */
  description?: string
  /** Zod or JSON Schema of every answer. Absent: any text, or one of the choices the model offers. */
  schema?: ZodOrJsonSchema
}

export interface AskUserInput {
  question: string
  /** Of a tool whose answers have no schema. */
  choices?: string[] | undefined
}

const defaultDescription =
  'Asks the user a question and waits for the answer, however long that takes. Use it when you cannot go on without something only they know.'

const optionsSchema = z.strictObject({
  name: z.string().optional(),
  description: z.string().optional(),
  schema: z.looseObject({}).optional(),
})

const question = z.string().min(1).max(4000)
const choices = z.array(z.string().min(1).max(200)).min(2).max(20)

/**
 * A tool by which a model asks a person: the run is suspended with the question, among its approvals, until it is answered or
 * rejected, or until the agent's `approvalTimeoutMs` is over.
 */
export function createAskUser(options: AskUserOptions = {}): Tool<AskUserInput> {
  parseDefinition({ what: 'createAskUser', schema: optionsSchema, options })
  const { name = 'ask_user', description = defaultDescription, schema } = options
  const input: z.ZodType<AskUserInput> = schema
    ? z.object({ question })
    : z.object({ question, choices: choices.optional() })
  const asking = tool({
    name,
    description,
    input,
    // Asking changes nothing: after a crash it is simply asked again.
    effect: 'read',
    async execute(given, context) {
      const wanted = schema ?? choicesSchema(given.choices)
      const answer = await context.ask({ message: given.question, ...(wanted ? { schema: wanted } : {}) })
      switch (answer.action) {
        case 'accept':
          return answer.content
        case 'decline':
          return `The user does not want to answer.${answer.reason ? ` They say: ${answer.reason}` : ''}`
        case 'cancel':
          return 'The user did not answer in time.'
        default:
          return answer satisfies never
      }
    },
  })
  return Object.freeze({ ...asking, asksPeople: true as const })
}

/** Asks for a text, or for one of the choices the model offers. */
export const askUser = createAskUser()

function choicesSchema(offered: AskUserInput['choices']): ZodOrJsonSchema | undefined {
  return offered && { type: 'string', enum: offered }
}

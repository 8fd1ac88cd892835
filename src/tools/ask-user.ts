import { z } from 'zod'
import type { JsonSchema, Question, Tool } from '../agent/definitions.ts'
import { tool } from '../agent/tool.ts'

export interface AskUserOptions {
  /** Default `ask_user`. */
  name?: string
  /** When the model is to ask, and what. */
  description?: string
  /** JSON Schema of every answer. Absent: any text, or one of the choices the model offers. */
  schema?: JsonSchema
}

const defaultDescription =
  'Asks the user a question and waits for the answer, however long that takes. Use it when you cannot go on without something only they know.'

/**
 * A tool by which a model asks a person: the run is suspended with the question, among its approvals, until it is answered or
 * rejected, or until the agent's `approvalTimeoutMs` is over.
 */
export function createAskUser(options: AskUserOptions = {}): Tool<{ question: string; choices?: string[] }> {
  const { name = 'ask_user', description = defaultDescription, schema } = options
  return tool({
    name,
    description,
    input: z.object({
      question: z.string().min(1).max(4000),
      choices: z.array(z.string().min(1).max(200)).min(2).max(20).optional(),
    }),
    // Asking changes nothing: after a crash it is simply asked again.
    effect: 'read',
    async execute({ question, choices }, context) {
      const answer = await context.ask(toQuestion(question, schema ?? choicesSchema(choices)))
      switch (answer.action) {
        case 'accept':
          return typeof answer.content === 'string' ? answer.content : JSON.stringify(answer.content)
        case 'decline':
          return `The user does not want to answer.${answer.reason ? ` They say: ${answer.reason}` : ''}`
        case 'cancel':
          return 'The user did not answer in time.'
        default:
          return answer satisfies never
      }
    },
  }) as Tool<{ question: string; choices?: string[] }>
}

/** Asks for a text, or for one of the choices the model offers. */
export const askUser = createAskUser()

function toQuestion(message: string, schema: JsonSchema | undefined): Question {
  return schema === undefined ? { message } : { message, schema }
}

function choicesSchema(choices: readonly string[] | undefined): JsonSchema | undefined {
  return choices && { type: 'string', enum: [...choices] }
}

import { z } from 'zod'
import type { Hooks } from '../agent/hooks.ts'
import { textOf, type Item, type MessageItem, type ModelItem } from '../items.ts'
import type { ModelRequest } from '../models/model.ts'
import { parseDefinition } from '../parse-definition.ts'
import { refuseContent } from './refusal.ts'

export interface MaxInputOptions {
  /** The most a request may bring, as JavaScript counts: UTF-16 code units of the text of its messages, whatever their role, and instructions. */
  chars: number
  /** What the caller is told. */
  message?: string
}

const optionsSchema = z.strictObject({
  chars: z.number().min(0),
  message: z.string().optional(),
})

/**
 * Refuses a run whose request brings more text than that, before a model is asked; later runs send a short mark for each of its
 * messages. What was said before in the conversation does not count, nor do pictures and files.
 * Throws a `DefinitionError` on what is not one of its options.
 */
export function maxInput(options: MaxInputOptions): Hooks {
  parseDefinition({ what: 'maxInput', schema: optionsSchema, options })
  const { chars, message } = options
  return {
    async beforeModel(request, { input, instructions = '', earlierInput }) {
      const messages = messagesById(request)
      const length = lengthOf(input, messages) + instructions.length
      if (length > chars) {
        return refuseContent(
          message ?? `The input is too long: ${length} characters, and at most ${chars} are taken.`,
        )
      }
      const tooLong = (await earlierInput()).filter((earlier) => lengthOf(earlier, messages) > chars)
      return tooLong.length === 0
        ? undefined
        : withMarks(request, new Set(tooLong.flat().map(({ id }) => id)))
    },
  }
}

/** As the hooks before made them. */
function messagesById(request: ModelRequest): Map<string, MessageItem> {
  const messages = new Map<string, MessageItem>()
  for (const item of request.items) if (item.type === 'message') messages.set(item.id, item)
  return messages
}

function lengthOf(input: readonly Item[], messages: ReadonlyMap<string, MessageItem>): number {
  let length = 0
  for (const { id } of input) {
    const message = messages.get(id)
    if (message) length += textOf(message).length
  }
  return length
}

function withMarks(request: ModelRequest, refused: ReadonlySet<string>): ModelRequest {
  const items = request.items.map((item): ModelItem => {
    if (item.type !== 'message' || !refused.has(item.id)) return item
    const text = `[a message of ${textOf(item).length} characters was refused]`
    return { ...item, content: [{ type: 'text', text }] }
  })
  return { ...request, items }
}

import type { HookContext, Hooks } from '../agent/hooks.ts'
import { textOf } from '../items.ts'
import type { ModelRequest } from '../models/model.ts'
import { refuseContent } from './refusal.ts'

export interface MaxInputOptions {
  /** The most a request may bring, as JavaScript counts: UTF-16 code units of the text of its messages. */
  chars: number
  /** What the caller is told. */
  message?: string
}

/**
 * Refuses a run whose request brings more text than that, before a model is asked. What was said before in the conversation
 * does not count, nor do pictures and files.
 */
export function maxInput({ chars, message }: MaxInputOptions): Hooks {
  if (!(chars >= 0)) throw new TypeError('maxInput: chars must be a number from 0 on')
  return {
    beforeModel(request, context) {
      const length = inputLength(request, context)
      if (length <= chars) return undefined
      return refuseContent(
        message ?? `The input is too long: ${length} characters, and at most ${chars} are taken.`,
      )
    },
  }
}

/** Of the messages as the hooks before made them. */
function inputLength(request: ModelRequest, { input }: HookContext): number {
  const ids = new Set(input.map(({ id }) => id))
  let length = 0
  for (const item of request.items) {
    if (item.type === 'message' && item.role !== 'assistant' && ids.has(item.id))
      length += textOf(item).length
  }
  return length
}

import { textOf, type MessageItem, type ModelItem } from '../items.ts'
import { cutMiddle } from './cut-text.ts'

/**
 * A conversation told in messages alone, for a model that is asked about it and not to carry it on: calls and results as
 * text, reasoning left out. Providers refuse calls where no tools are offered.
 */
export function toldInMessages(items: readonly ModelItem[]): MessageItem[] {
  const names = new Map<string, string>()
  return items.flatMap((item): MessageItem[] => {
    switch (item.type) {
      case 'message':
        return [item]
      case 'reasoning':
        return []
      case 'tool_call':
        names.set(item.call_id, item.name)
        return [message(item.id, { role: 'assistant', text: `[calls ${item.name}: ${item.arguments}]` })]
      case 'tool_result': {
        const name = names.get(item.call_id) ?? 'tool'
        return [message(item.id, { role: 'user', text: `[${name} answered: ${item.output}]` })]
      }
      default:
        return item satisfies never
    }
  })
}

/** The same as one text, a line for each message, cut in its middle where it is longer. */
export function transcriptOf(items: readonly ModelItem[], maxChars: number): string {
  return cutMiddle(toldInMessages(items).map(lineOf).join('\n'), maxChars)
}

function lineOf(item: MessageItem): string {
  const others = item.content.filter(({ type }) => type !== 'text').map(({ type }) => ` [${type}]`)
  return `${item.role}: ${textOf(item)}${others.join('')}`
}

function message(id: string, { role, text }: { role: MessageItem['role']; text: string }): MessageItem {
  return { type: 'message', id, role, content: [{ type: 'text', text }] }
}

import type { SharedV4ProviderMetadata } from '@ai-sdk/provider'
import type { ModelPart } from '../model.ts'

/** One block of reasoning of the AI SDK: its length within the item's text, and what its provider wants back. */
interface Block {
  readonly id: string
  length: number
  metadata: SharedV4ProviderMetadata | undefined
  ended: boolean
}

/**
 * Blocks of reasoning on their way to items. Each is an item of its own. Those that overlap (some providers end all blocks of
 * a reply together, and sign them there) share one: then its `providerData` is `{ blocks: [{ length, metadata }, …] }`.
 */
export class ReasoningBlocks {
  readonly #emit: (part: ModelPart) => void
  #blocks: Block[] = []

  constructor(emit: (part: ModelPart) => void) {
    this.#emit = emit
  }

  start(id: string, metadata: SharedV4ProviderMetadata | undefined): void {
    this.#blocks.push({ id, length: 0, metadata, ended: false })
  }

  /** What is to be shown before the delta: blocks that share an item stand apart. */
  separator(): string {
    const last = this.#blocks.at(-1)
    return last?.length === 0 && this.#blocks.some(({ length }) => length > 0) ? '\n\n' : ''
  }

  /** So many characters were shown. They count to the latest block: text of two at a time cannot be told apart. */
  add(length: number): void {
    const last = this.#blocks.at(-1)
    if (last) last.length += length
    else this.#blocks.push({ id: '', length, metadata: undefined, ended: true })
  }

  note(id: string, metadata: SharedV4ProviderMetadata): void {
    const block = this.#blocks.find((one) => one.id === id)
    if (block) block.metadata = metadata
  }

  end(id: string): void {
    const block = this.#blocks.find((one) => one.id === id)
    if (block) block.ended = true
    if (this.#blocks.every(({ ended }) => ended)) this.close()
  }

  /** The reply is over, whatever is open. */
  close(): void {
    const blocks = this.#blocks.filter(({ length, metadata }) => length > 0 || metadata)
    this.#blocks = []
    const [first] = blocks
    if (!first) return
    const providerData: Record<string, unknown> =
      blocks.length === 1
        ? { ...first.metadata }
        : { blocks: blocks.map(({ length, metadata = {} }) => ({ length, metadata })) }
    this.#emit({ type: 'reasoning_end', providerData })
  }
}

/** The blocks of an item again. */
export function splitReasoning(
  text: string,
  data: Record<string, unknown>,
): { text: string; metadata: Record<string, unknown> }[] {
  const { blocks } = data
  if (!Array.isArray(blocks)) return [{ text, metadata: data }]
  let at = 0
  return blocks.map(({ length, metadata }: { length: number; metadata: Record<string, unknown> }) => {
    const from = at
    at += length
    return { text: text.slice(from, at), metadata }
  })
}

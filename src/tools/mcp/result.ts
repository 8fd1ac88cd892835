import type { CallToolResult, ContentBlock } from '@modelcontextprotocol/client'

/**
 * A result as the model reads it: its text, and a line in brackets for what has none. Without any content the structured
 * content as it is. Throws where the server says that the tool failed, with the server's words.
 */
export function toOutput(result: CallToolResult): unknown {
  const { content, structuredContent, isError } = result
  const text = content.map(describe).join('\n')
  const hasText = content.some((block) => textOf(block) !== undefined)
  if (isError) throw new Error(text || describeValue(structuredContent) || 'The tool failed without a word.')
  if (hasText || structuredContent === undefined) return text
  return content.length === 0 ? structuredContent : `${describeValue(structuredContent)}\n${text}`
}

function textOf(block: ContentBlock): string | undefined {
  if (block.type === 'text') return block.text
  if (block.type === 'resource' && 'text' in block.resource) return block.resource.text
  return undefined
}

function describe(block: ContentBlock): string {
  switch (block.type) {
    case 'text':
      return block.text
    case 'image':
    case 'audio':
      return `[${block.type}: ${block.mimeType}, ${sizeOf(block.data)}]`
    case 'resource_link':
      return `[resource: ${block.uri}${block.mimeType ? `, ${block.mimeType}` : ''}${block.size === undefined ? '' : `, ${toSize(block.size)}`}]`
    case 'resource': {
      const { resource } = block
      const kind = resource.mimeType ? `, ${resource.mimeType}` : ''
      // A file's text is what was asked for, not an ornament.
      if ('text' in resource) return `[resource: ${resource.uri}${kind}]\n${resource.text}`
      return `[resource: ${resource.uri}${kind}, ${sizeOf(resource.blob)}]`
    }
    default:
      block satisfies never
      return '[content of an unknown kind]'
  }
}

function describeValue(value: unknown): string {
  return value === undefined ? '' : JSON.stringify(value)
}

function sizeOf(base64: string): string {
  return toSize(Math.floor((base64.replace(/=+$/, '').length * 3) / 4))
}

function toSize(bytes: number): string {
  if (bytes < 1_000) return `${bytes} bytes`
  if (bytes < 1_000_000) return `${(bytes / 1_000).toFixed(1)} kB`
  return `${(bytes / 1_000_000).toFixed(1)} MB`
}

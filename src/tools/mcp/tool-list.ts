import type { Client, Tool as ListedTool } from '@modelcontextprotocol/client'
import type { McpSettings } from './options.ts'

/** What a server says its tools are: the first of those that were asked for, once each, in its order. */
export interface ToolList {
  readonly tools: readonly ListedTool[]
  /** It had more of them, or more pages. */
  readonly isCut: boolean
}

/** Beyond these the client of the SDK gives the whole list up. */
const maxPages = 64
/** Of JSON, of all pages together. No more of them are asked for then. */
const maxListChars = 16 * 2 ** 20
/** Characters of JSON. Every request to the model carries it. */
const maxSchemaChars = 64 * 1024
const maxDescriptionChars = 4_000
/** Of the schemas of all tools that are taken. */
const maxSchemasChars = 2 ** 20

/** With a description of a length that a model should read. Throws where the schema is none to be sent with each request. */
export function withinLimits(tool: ListedTool): ListedTool {
  if (schemaChars(tool) > maxSchemaChars) {
    throw new Error(`its schema is larger than ${maxSchemaChars} characters`)
  }
  const description = tool.description ?? tool.title ?? tool.annotations?.title ?? ''
  if (description.length <= maxDescriptionChars) return tool
  const kept = description.slice(0, maxDescriptionChars).toWellFormed()
  const missing = description.length - maxDescriptionChars
  return {
    ...tool,
    description: `${kept}\n[cut: ${missing} of ${description.length} characters are missing]`,
  }
}

function schemaChars({ inputSchema }: ListedTool): number {
  return JSON.stringify(inputSchema).length
}

/** The tools of the server, page by page until `maxTools` of them are wanted ones, or as many as may be taken together. */
export async function listTools(options: {
  client: Client
  settings: McpSettings
  timeoutMs: number
}): Promise<ToolList> {
  const { client, settings, timeoutMs } = options
  const known = new Set<string>()
  let pages = 0
  let chars = 0
  let schemasChars = 0
  let isFull = false
  let isCut = false
  const take = (tool: ListedTool) => {
    if (known.has(tool.name) || !isChosen(tool, settings)) return false
    const own = isFull ? 0 : schemaChars(tool)
    // One that is left out for its own size takes no room.
    if (own <= maxSchemaChars) schemasChars += own
    isFull ||= known.size >= settings.maxTools || schemasChars > maxSchemasChars
    if (isFull) {
      isCut = true
      return false
    }
    known.add(tool.name)
    return true
  }
  const readPage = async (...request: Parameters<Client['request']>): Promise<unknown> => {
    const page = (await client.request(...request)) as { tools: ListedTool[]; nextCursor?: string }
    // Nothing else is kept: the client puts the pages together.
    const tools = page.tools.filter(take)
    pages++
    chars += JSON.stringify(page.tools).length
    const isEnough = isFull || pages >= maxPages || chars >= maxListChars || known.size >= settings.maxTools
    isCut ||= isEnough && page.nextCursor !== undefined
    return { ...page, tools, ...(isEnough ? { nextCursor: undefined } : {}) }
  }
  // The client walks through all pages by itself. Its own request for one is where it can be told that there are no more.
  const walker = Object.create(client, { request: { value: readPage } }) as Client
  const { tools } = await walker.listTools(undefined, { timeout: timeoutMs, cacheMode: 'refresh' })
  return { tools, isCut }
}

function isChosen(tool: ListedTool, { tools: filter }: McpSettings): boolean {
  // It can only be called as a task, which we do not speak.
  if (tool.execution?.taskSupport === 'required') return false
  if (filter === undefined) return true
  return typeof filter === 'function' ? filter(tool) : filter.includes(tool.name)
}

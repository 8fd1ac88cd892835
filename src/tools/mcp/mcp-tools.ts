import type { Tool as ListedTool } from '@modelcontextprotocol/client'
import type { AnyTool, JsonSchema, OpenToolSource, ToolSource } from '../../agent/definitions.ts'
import type { Clock } from '../../clock.ts'
import type { Logger } from '../../logger.ts'
import { argumentCheck, type ArgumentCheck } from './argument-check.ts'
import { foundTool } from './found-tool.ts'
import { readOptions, type McpSettings, type McpToolsOptions } from './options.ts'
import { ServerLink } from './server-link.ts'
import { withinLimits, type ToolList } from './tool-list.ts'
import { toToolNames } from './tool-names.ts'

/**
 * The tools of an MCP server, over Streamable HTTP or the standard streams of a program; protocol revisions 2026-07-28 and
 * 2025-11-25. Connects when the agent is served, and again whenever the server comes back. Throws a `DefinitionError` on
 * what is not one of its options.
 *
 * @example
 * agent({ name: 'clerk', tools: [mcpTools({ name: 'files', command: 'npx', args: ['-y', 'some-files-server', './data'] })] })
 */
export function mcpTools(options: McpToolsOptions): ToolSource {
  const settings = readOptions(options)
  return Object.freeze({
    kind: 'tool-source',
    name: settings.name,
    open: ({ logger, clock }) => openSource({ settings, logger, clock }),
  } satisfies ToolSource)
}

function openSource(options: { settings: McpSettings; logger: Logger; clock: Clock }): OpenToolSource {
  const { settings, logger, clock } = options
  let found: Found | undefined
  const link: ServerLink = new ServerLink({
    settings,
    logger,
    clock,
    onTools: (list) => {
      found = toTools({ list, settings, logger, clock, link, before: found?.checks })
    },
  })
  return {
    async tools(signal) {
      await link.listed(signal)
      return found?.tools ?? []
    },
    known: () => found?.tools,
    close: () => link.close(),
  }
}

/** Of a name in the log. */
const maxShownChars = 200

interface Found {
  readonly tools: readonly AnyTool[]
  /** By the text of the schema: while a server lists that, it is read once. */
  readonly checks: ReadonlyMap<string, ArgumentCheck>
}

function toTools(options: {
  list: ToolList
  settings: McpSettings
  logger: Logger
  clock: Clock
  link: ServerLink
  /** The checks of the list before. */
  before: Found['checks'] | undefined
}): Found {
  const { list, settings, logger, clock, link, before } = options
  if (list.isCut) {
    const fields = { server: settings.name, maxTools: settings.maxTools, taken: list.tools.length }
    logger.warn(fields, 'an mcp server has more tools than are taken')
  } else warnOfUnknown({ listed: list.tools, settings, logger })
  const names = toToolNames(
    settings.prefix,
    list.tools.map(({ name }) => name),
  )
  const checks = new Map<string, ArgumentCheck>()
  const checkOf = (schema: JsonSchema) => {
    const text = JSON.stringify(schema)
    const check = checks.get(text) ?? before?.get(text) ?? argumentCheck(schema)
    checks.set(text, check)
    return check
  }
  const tools = list.tools.flatMap((tool) => {
    const name = names.get(tool.name)
    if (name === undefined) return []
    try {
      const listed = withinLimits(tool)
      return [foundTool({ listed, name, check: checkOf(listed.inputSchema), settings, link, clock })]
    } catch (error) {
      // One that makes no sense must not cost the others.
      const reason = error instanceof Error ? error.message : String(error)
      logger.warn(
        { server: settings.name, tool: tool.name.slice(0, maxShownChars), reason },
        'a tool of an mcp server cannot be used',
      )
      return []
    }
  })
  return { tools, checks }
}

function warnOfUnknown(options: {
  listed: readonly ListedTool[]
  settings: McpSettings
  logger: Logger
}): void {
  const { listed, settings, logger } = options
  if (!Array.isArray(settings.tools)) return
  const known = new Set(listed.map(({ name }) => name))
  const missing = settings.tools.filter((name: string) => !known.has(name))
  if (missing.length > 0) logger.warn({ server: settings.name, missing }, 'an mcp server has no such tools')
}

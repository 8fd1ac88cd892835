import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Agent } from '../agent/definitions.ts'
import { loadFailure } from './load-failure.ts'
import { UsageError } from './usage-error.ts'

/**
 * The agents a module exports by default: `{ agents }`, one agent, or a list. The path is relative to the working folder;
 * `.ts` and `.js` alike. Throws `UsageError` where it cannot be loaded; what Parley
 * says of its definitions comes through as it is.
 */
export async function loadAgents(path: string): Promise<readonly Agent[]> {
  const file = resolve(path)
  if (!existsSync(file)) throw new UsageError(`there is no file ${path}`)
  const exported = await load(path, file)
  const list = isAgent(exported) ? [exported] : Array.isArray(exported) ? exported : agentsOf(exported)
  if (!list || list.length === 0 || !list.every(isAgent)) {
    throw new UsageError(`${path}: export by default { agents: [...] } or one agent, made with agent()`)
  }
  return list
}

async function load(path: string, file: string): Promise<unknown> {
  try {
    const module = (await import(pathToFileURL(file).href)) as { default?: unknown }
    return module.default
  } catch (error) {
    throw loadFailure(error, { path, file })
  }
}

function agentsOf(exported: unknown): unknown[] | undefined {
  if (typeof exported !== 'object' || exported === null || !('agents' in exported)) return undefined
  return Array.isArray(exported.agents) ? exported.agents : undefined
}

function isAgent(value: unknown): value is Agent {
  return typeof value === 'object' && value !== null && 'toolConcurrency' in value && 'overrides' in value
}

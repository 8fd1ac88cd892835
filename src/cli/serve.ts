import type { Agent } from '../agent/definitions.ts'
import { serve, type ParleyServer } from '../serve.ts'
import { version } from '../version.ts'
import { assistant } from './assistant.ts'
import { loadAgents } from './module.ts'
import { toolsThatAsk } from './tools-that-ask.ts'
import { UsageError } from './usage-error.ts'

/** `parley serve [module]`. Returns once the server listens. */
export async function serveCommand(args: readonly string[]): Promise<number> {
  if (args.length > 1) throw new UsageError('serve takes one module')
  const [path] = args
  const agents = path === undefined ? [assistant] : await loadAgents(path)
  const server = await serve({ agents })
  const tools = toolsThatAsk(agents)
  if (tools.length > 0) {
    server.logger.warn(
      { tools },
      'runs will wait for a person at these tools, and nobody can decide or answer over HTTP yet: serve the agents from a program that calls parley.approvals.decide, see docs/questions.md',
    )
  }
  console.log(banner(server, agents[0]))
  return 0
}

function banner(server: ParleyServer, first: Agent | undefined): string {
  const agents = server.agents.map(({ name, model }) => `${name} (${describeModel(model)})`).join(', ')
  const { path, body } = exampleCall(first)
  return `
Parley ${version} listens on ${server.url}

  agents  ${agents}
  data    ${server.dataLocation}

Try it:

  curl -X POST ${server.url}${path} -H 'content-type: application/json' -d '${JSON.stringify(body)}'
`
}

function describeModel(model: string): string {
  return model === 'demo' ? 'demo model: set LLM_BASE_URL or OPENAI_API_KEY for a real one' : model
}

/** Something the agent that answers can show. No text in it has a quote. */
function exampleCall(agent: Agent | undefined): { path: string; body: Record<string, unknown> } {
  const calculates = agent?.tools.some(({ name }) => name === 'calculator') ?? false
  const question = calculates ? 'What is 1337 * 42?' : 'Hello'
  const names = typeof agent?.instructions === 'object' ? agent.instructions.names : []
  if (!agent || names.length === 0) return { path: '/chat', body: { message: question } }
  return {
    path: `/v1/agents/${agent.name}/runs`,
    body: { input: question, run_context: exampleContext(names) },
  }
}

/** An object that has something at each of the paths. */
function exampleContext(paths: readonly string[]): Record<string, unknown> {
  // Without a prototype: a name is a name, whatever objects inherit.
  const context = Object.create(null) as Record<string, unknown>
  for (const path of paths) {
    let at = context
    const keys = path.split('.')
    for (const [i, key] of keys.entries()) {
      if (i === keys.length - 1) at[key] ??= '…'
      else at = isContext(at[key]) ? at[key] : (at[key] = Object.create(null) as Record<string, unknown>)
    }
  }
  return context
}

function isContext(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

import { serve, type ParleyServer } from '../serve.ts'
import { version } from '../version.ts'
import { assistant } from './assistant.ts'
import { loadAgents } from './module.ts'
import { UsageError } from './usage-error.ts'

/** `parley serve [module]`. Returns once the server listens. */
export async function serveCommand(args: readonly string[]): Promise<number> {
  if (args.length > 1) throw new UsageError('serve takes one module')
  const [path] = args
  const agents = path === undefined ? [assistant] : await loadAgents(path)
  const server = await serve({ agents })
  const calculates = agents[0]?.tools.some(({ name }) => name === 'calculator') ?? false
  console.log(banner(server, calculates))
  return 0
}

function banner(server: ParleyServer, calculates: boolean): string {
  const agents = server.agents.map(({ name, model }) => `${name} (${describeModel(model)})`).join(', ')
  // Something the agent that answers can show.
  const question = calculates ? 'What is 1337 * 42?' : 'Hello'
  return `
Parley ${version} listens on ${server.url}

  agents  ${agents}
  data    ${server.dataLocation}

Try it:

  curl -X POST ${server.url}/chat -H 'content-type: application/json' -d '{"message":"${question}"}'
`
}

function describeModel(model: string): string {
  return model === 'demo' ? 'demo model: set LLM_BASE_URL or OPENAI_API_KEY for a real one' : model
}

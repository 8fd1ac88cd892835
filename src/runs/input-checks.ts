import { handoffNames, transferToolName } from '../agent/agent.ts'
import type { Agent } from '../agent/definitions.ts'
import { assertValues, replacesInstructions } from '../agent/instructions.ts'
import { requestedOutput } from '../agent/output.ts'
import { inputNotAccepted } from '../agent/request.ts'
import { AppError, type ErrorCode } from '../errors.ts'
import type { Item, Part } from '../items.ts'
import type { Model } from '../models/model.ts'
import type { RunOptions } from '../run-state.ts'
import type { CreateRunInput } from './runs.ts'

/** Longer addresses are data by another name. */
const maxUrlChars = 8192

/**
 * What can be told before a run is accepted: whether the agent allows what the request changes, and whether its model can take
 * the input. Throws `invalid_request`, `run_context_missing`, `input_not_accepted` or `file_too_large`, with the place.
 */
export function checkRequest(
  input: CreateRunInput,
  { agent, model, maxFileBytes }: { agent: Agent; model: Model | undefined; maxFileBytes: number },
): void {
  const options = input.options ?? {}
  checkOverrides(agent, options)
  if (options.tools) checkCallerTools(agent, options.tools)
  if (options.output_schema) checkOutputSchema(options.output_schema)
  // An agent that routes does not see the input itself: whoever answers is asked then.
  const isRouter = agent.specialists.length > 0
  if (!isRouter && !replacesInstructions(agent, options))
    assertValues(agent.instructions, options.run_context ?? {})
  checkParts(input.input, { model: isRouter ? undefined : model, maxFileBytes })
}

function checkOverrides(agent: Agent, options: RunOptions): void {
  if (options.model !== undefined && !agent.overrides.model)
    refuse(['model'], 'This agent does not let a request choose the model.')
  if (options.instructions !== undefined && agent.overrides.instructions === 'never') {
    refuse(['instructions'], 'This agent takes no instructions from a request.')
  }
  const { maxStepsUpTo } = agent.overrides
  if ((options.max_steps ?? 0) > maxStepsUpTo)
    refuse(['max_steps'], `This agent allows at most ${maxStepsUpTo}.`)
}

function checkCallerTools(agent: Agent, tools: NonNullable<RunOptions['tools']>): void {
  const handoffs = handoffNames(agent).map(transferToolName)
  const own = new Set([...agent.tools.map(({ name }) => name), ...handoffs])
  const callers = new Set<string>()
  for (const [index, { name }] of tools.entries()) {
    const taken = own.has(name) ? 'is a tool of the agent itself' : 'is there twice'
    if (own.has(name) || callers.has(name)) {
      refuse(['tools', index, 'name'], `${JSON.stringify(name)} ${taken}.`)
    }
    callers.add(name)
  }
}

function checkOutputSchema(schema: NonNullable<RunOptions['output_schema']>): void {
  try {
    requestedOutput(schema)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    refuse(['output_schema'], `This JSON Schema cannot be checked: ${why}`)
  }
}

type Media = Exclude<Part, { type: 'text' }>
type Limits = { model: Model | undefined; maxFileBytes: number }

function checkParts(items: readonly Item[], limits: Limits): void {
  for (const [index, item] of items.entries()) {
    if (item.type !== 'message') continue
    for (const [place, part] of item.content.entries()) {
      if (part.type !== 'text') checkMedia(part, { path: ['input', index, 'content', place], ...limits })
    }
  }
}

function checkMedia(part: Media, input: Limits & { path: (string | number)[] }): void {
  const { model, maxFileBytes, path } = input
  if (model?.accepts && !model.accepts.includes(part.type)) {
    const { code, message } = inputNotAccepted(model.id, part.type)
    refuse(path, message, code)
  }
  const at = [...path, 'url']
  if (!/^data:/i.test(part.url)) return checkAddress(part.url, at)
  if (part.type === 'image' && !/^data:image\//i.test(part.url))
    refuse(at, 'Not the data of a picture: give it as a file.')
  const bytes = dataBytes(part.url)
  if (bytes === undefined) refuse(at, 'Not a data: URL of base64, as in data:image/png;base64,iVBORw0…')
  if (bytes > maxFileBytes) {
    refuse(
      at,
      `The data is ${bytes} bytes; at most ${maxFileBytes} are taken. Give an http(s) URL instead.`,
      'file_too_large',
    )
  }
}

function checkAddress(url: string, at: (string | number)[]): void {
  if (url.length > maxUrlChars) refuse(at, `An address has at most ${maxUrlChars} characters.`)
  const parsed = URL.parse(url)
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:') {
    refuse(at, 'Must be an http, https or data: URL.')
  }
  if (parsed.username !== '' || parsed.password !== '') refuse(at, 'An address must not hold credentials.')
}

/** How many bytes a base64 `data:` URL holds (RFC 2397, RFC 4648); undefined where it is none. */
function dataBytes(url: string): number | undefined {
  const comma = url.indexOf(',')
  if (comma === -1 || !/^data:[\w.+-]+\/[\w.+-]+(;[\w.+-]+=[\w.+"-]+)*;base64$/i.test(url.slice(0, comma)))
    return undefined
  const start = comma + 1
  const padding = url.endsWith('==') ? 2 : url.endsWith('=') ? 1 : 0
  const length = url.length - start
  if (length === 0 || length % 4 !== 0) return undefined
  if (!isBase64(url, { start, end: url.length - padding })) return undefined
  return (length / 4) * 3 - padding
}

function isBase64(text: string, { start, end }: { start: number; end: number }): boolean {
  base64Run.lastIndex = start
  return base64Run.test(text) && base64Run.lastIndex === end
}
const base64Run = /[A-Za-z0-9+/]*/y

function refuse(path: (string | number)[], message: string, code: ErrorCode = 'invalid_request'): never {
  throw new AppError(code, { message, locations: [{ path: ['body', ...path], message }] })
}

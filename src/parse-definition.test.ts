import { expect, test } from 'vitest'
import { z } from 'zod'
import { agent } from './agent/agent.ts'
import { redactPii } from './moderation/redact-pii.ts'
import { mcpTools } from './tools/mcp/mcp-tools.ts'
import { openapiTools } from './tools/openapi/openapi-tools.ts'
import { DefinitionError, parseDefinition } from './parse-definition.ts'
import { tool } from './agent/tool.ts'

const good = { name: 'wipe', description: 'Wipes.', execute: () => 'wiped' }

// What a JavaScript author can write, and the compiler would refuse.
const faultyTools: [path: string, options: Record<string, unknown>][] = [
  ['approval', { approval: true }],
  ['approval', { approval: 'Required' }],
  ['effect', { effect: 'reed' }],
  ['timeoutMs', { timeoutMs: -1 }],
  ['timeoutMs', { timeoutMs: 2 ** 31 }],
  ['maxOutputChars', { maxOutputChars: 0 }],
  ['description', { description: undefined }],
  ['execute', { execute: undefined }],
  ['input', { input: z.string() }],
  ['input', { input: { type: 'array' } }],
  ['input', { input: { type: 'strng' } }],
  ['approvel', { approvel: 'required' }],
  ['name', { name: 'no spaces' }],
]
test.each(faultyTools)('a tool whose %s is wrong is refused where it is defined: %j', (path, options) => {
  const define = () => tool({ ...good, ...options } as unknown as Parameters<typeof tool>[0])
  expect(define).toThrow(DefinitionError)
  expect(define).toThrow(path)
  if (!('name' in options)) expect(define).toThrow('tool wipe: ')
})

const faultyAgents: [path: string, options: Record<string, unknown>][] = [
  ['maxSteps', { maxSteps: 'x' }],
  ['modelTries', { modelTries: 0 }],
  ['approvalTimeoutMs', { approvalTimeoutMs: -1 }],
  ['settings.temperature', { settings: { temperature: 99 } }],
  ['tools', { tools: 'x' }],
  ['tools.0', { tools: [{ name: 'bare' }] }],
  ['model', { model: 5 }],
  ['tool', { tool: [] }],
  ['hooks.beforeModel', { hooks: { beforeModel: 'x' } }],
]
test.each(faultyAgents)('an agent whose %s is wrong is refused where it is defined: %j', (path, options) => {
  const define = () => agent({ name: 'a', ...options } as unknown as Parameters<typeof agent>[0])
  expect(define).toThrow(DefinitionError)
  expect(define).toThrow(path)
})

const assistant = agent({ name: 'assistant' })

test.each<[options: Record<string, unknown>, says: string]>([
  [{ maxStep: 3 }, 'no such option: "maxStep"; there are name, description, model, '],
  [{ budget: { second: 3 } }, 'budget: no such option: "second"; there are tokens, cost, seconds, toolCalls'],
  [{ description: 5 }, 'description: must be text, not a number'],
  [{ tools: 'calculator' }, 'tools: must be a list, not text'],
  [{ model: {} }, 'model: must be text, a model of ours or of the AI SDK (v4) or a list'],
  [{ model: [] }, 'model: must not be empty'],
  [{ settings: { reasoningEffort: 'huge' } }, 'settings.reasoningEffort: must be "none", "minimal", '],
  [{ budget: { seconds: 0 } }, 'budget.seconds: must be more than 0'],
  [{ maxSteps: 1.5 }, 'maxSteps: must be a whole number'],
  [{ instructions: 5 }, 'instructions: must be text, a function or made with template()'],
  [
    { specialists: [assistant], routing: { by: 'magic' } },
    'routing.by: must be "keywords", "model" or a function',
  ],
  [{ overrides: { instructions: 'add' } }, 'overrides.instructions: must be "append", "replace" or "never"'],
  [{ history: { summarise: { keepTurns: 'x' } } }, 'history.summarise.keepTurns: must be a number, not text'],
  [
    { history: { summarise: { keep: 4 } } },
    'history.summarise: no such option: "keep"; there are instructions, model, keepTurns',
  ],
  [{ hooks: redactPii }, 'hooks: must be a list or an object, not a function: call it, redactPii()'],
  [{ hooks: [redactPii] }, 'hooks.0: must be an object, not a function: call it, redactPii()'],
  [
    { hooks: { beforeModle: () => undefined } },
    'hooks: no such option: "beforeModle"; there are beforeModel, ',
  ],
  [{ tools: [assistant] }, 'tools.0: is an agent: give assistant.asTool()'],
  [
    { tools: [mcpTools] },
    'tools.0: must be made with tool(), or be a source of tools, not a function: call it, mcpTools()',
  ],
  [{ tools: [[tool(good)]] }, 'tools.0: is a list: put its tools in one by one, with ...'],
])('an agent with %j is told what may stand there', (options, says) => {
  expect(() => agent({ name: 'a', ...options })).toThrow(`agent a: ${says}`)
})

test('a choice that is none of those of a tool is told them', () => {
  const options = { document: {}, approval: 'write' } as unknown as Parameters<typeof openapiTools>[0]
  expect(() => openapiTools(options)).toThrow(
    'openapiTools: approval: must be "never", "required", "writes" or a function',
  )
})

test('no value is in the message: among them are keys', () => {
  const schema = z.strictObject({
    key: z.union([z.enum(['a', 'b']), z.number()]),
    list: z.array(z.boolean()),
  })
  const options = { key: 'sk-very-secret', list: ['sk-very-secret', { 'sk-very-secret': 1 }] }
  const parse = () => parseDefinition({ what: 'maker', schema, options })
  expect(parse).toThrow('maker: key: must be "a", "b" or a number; list.0: must be true or false, not text')
  expect(parse).not.toThrow('sk-very-secret')
})

import { expect, test } from 'vitest'
import { z } from 'zod'
import { agent } from './agent.ts'
import { DefinitionError } from './parse-definition.ts'
import { tool } from './tool.ts'

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

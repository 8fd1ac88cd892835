import { z } from 'zod'
import type { UpstreamRequest } from '../../../src/testing/upstream-server.ts'
import type { ToolChoice } from '../../../src/models/model.ts'
import { CallNumbers, Refusal } from './seen-request.ts'
import type { SeenOutput, SeenPart, SeenRequest } from './seen-request.ts'
import { parseBody, type Memory } from './stand-in.ts'

/*
 * The Gemini API as it is documented (https://ai.google.dev/api/generate-content), as far as an agent needs it. Unknown
 * names are refused, as its JSON reader does.
 */

const signature = { thoughtSignature: z.string().min(1).optional() }
const textPart = z.strictObject({ text: z.string(), thought: z.boolean().optional(), ...signature })
const callPart = z.strictObject({
  functionCall: z.strictObject({
    id: z.string().optional(),
    name: z.string().min(1),
    args: z.record(z.string(), z.unknown()).optional(),
  }),
  ...signature,
})
const responsePart = z.strictObject({
  functionResponse: z.strictObject({
    id: z.string().optional(),
    name: z.string().min(1),
    response: z.record(z.string(), z.unknown()),
  }),
})
const mimeType = z.string().regex(/^[a-z]+\/[\w.+-]+$/, 'Unsupported MIME type')
const dataPart = z.strictObject({
  inlineData: z.strictObject({ mimeType, data: z.base64().min(1) }),
  ...signature,
})
const filePart = z.strictObject({ fileData: z.strictObject({ mimeType, fileUri: z.url() }), ...signature })
const part = z.union([textPart, callPart, responsePart, dataPart, filePart])
type Part = z.infer<typeof part>

const contentSchema = z.strictObject({
  role: z.enum(['user', 'model']),
  parts: z.array(part).min(1, 'contents.parts must not be empty.'),
})
type Content = z.infer<typeof contentSchema>

const bodySchema = z.strictObject({
  contents: z.array(contentSchema).min(1, 'contents is not specified'),
  systemInstruction: z.strictObject({ parts: z.array(z.strictObject({ text: z.string() })) }).optional(),
  generationConfig: z
    .strictObject({
      maxOutputTokens: z.int().positive().optional(),
      temperature: z.number().min(0).max(2).optional(),
      topP: z.number().min(0).max(1).optional(),
      stopSequences: z.array(z.string()).max(5).optional(),
      seed: z.int().optional(),
      responseMimeType: z.enum(['application/json', 'text/plain']).optional(),
      responseJsonSchema: z.record(z.string(), z.unknown()).optional(),
      thinkingConfig: z
        .strictObject({
          includeThoughts: z.boolean().optional(),
          thinkingBudget: z.int().optional(),
          thinkingLevel: z.enum(['minimal', 'low', 'medium', 'high']).optional(),
        })
        .optional(),
    })
    .optional(),
  tools: z
    .array(
      z.strictObject({
        functionDeclarations: z.array(
          z.strictObject({
            name: z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$/, 'Invalid function name'),
            description: z.string(),
            parametersJsonSchema: z.record(z.string(), z.unknown()).optional(),
          }),
        ),
      }),
    )
    .optional(),
  toolConfig: z
    .strictObject({
      functionCallingConfig: z.strictObject({
        mode: z.enum(['AUTO', 'ANY', 'NONE', 'VALIDATED']),
        allowedFunctionNames: z.array(z.string()).optional(),
      }),
    })
    .optional(),
})
type Body = z.infer<typeof bodySchema>

const path = /^\/v1beta\/models\/([^/:]+):streamGenerateContent\?alt=sse$/

/** What Google documents for calls that another model made: it keeps the service from asking for a signature. */
const foreignSignature = 'skip_thought_signature_validator'

export function decodeGoogle(request: UpstreamRequest, memory: Memory): SeenRequest {
  const model = path.exec(request.path)?.[1]
  if (request.method !== 'POST' || model === undefined) throw new Refusal('Not found')
  const body = parseBody(bodySchema, request.body)
  const declared = (body.tools ?? []).flatMap(({ functionDeclarations }) => functionDeclarations)
  const config = body.generationConfig ?? {}
  if (config.responseMimeType === 'application/json' && declared.length > 0 && !isThird(model))
    throw new Refusal(
      "Function calling with a response mime type: 'application/json' is unsupported for this model",
    )
  checkTurns(body.contents)
  checkSignatures({ contents: body.contents, model, memory })
  const output = outputOf(body)
  return {
    key: request.headers['x-goog-api-key'] as string | undefined,
    model,
    system: (body.systemInstruction?.parts ?? []).map(({ text }) => text).join('\n'),
    content: toParts(body.contents),
    tools: declared
      .filter(({ name }) => name !== output?.tool)
      .map(({ name, description, parametersJsonSchema = {} }) => ({
        name,
        description,
        parameters: parametersJsonSchema,
      })),
    toolChoice: toToolChoice(body.toolConfig?.functionCallingConfig),
    output,
    settings: {
      maxOutputTokens: config.maxOutputTokens,
      temperature: config.temperature,
      topP: config.topP,
      stop: config.stopSequences,
      seed: config.seed,
      reasoning: config.thinkingConfig,
    },
    headers: request.headers,
    body: request.body,
    outcome: request.outcome,
  }
}

/** From Gemini 3 on, function calls must bring their thought signature back. */
function isThird(model: string): boolean {
  return model.startsWith('gemini-3')
}

function checkTurns(contents: readonly Content[]): void {
  if (contents.at(-1)?.role !== 'user') throw new Refusal('the last turn must be of the user')
  for (const [i, content] of contents.entries()) {
    const calls = namesOf(content, 'functionCall')
    const responses = namesOf(content, 'functionResponse')
    if (calls.length > 0) {
      if (content.role !== 'model') throw new Refusal('a function call must be of role model')
      if (i === 0)
        throw new Refusal(
          'Please ensure that function call turn comes immediately after a user turn or after a function response turn.',
        )
      const answers = namesOf(contents[i + 1], 'functionResponse')
      if (calls.join() !== answers.join())
        throw new Refusal(
          'Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.',
        )
    }
    if (responses.length > 0 && namesOf(contents[i - 1], 'functionCall').length === 0)
      throw new Refusal(
        'Please ensure that function response turn comes immediately after a function call turn.',
      )
  }
}

/** Name and id of each call, or response, of a turn. */
function namesOf(content: Content | undefined, kind: 'functionCall' | 'functionResponse'): string[] {
  return (content?.parts ?? []).flatMap((one) => {
    if (kind === 'functionCall' && 'functionCall' in one)
      return [`${one.functionCall.name} ${one.functionCall.id}`]
    if (kind === 'functionResponse' && 'functionResponse' in one)
      return [`${one.functionResponse.name} ${one.functionResponse.id}`]
    return []
  })
}

function checkSignatures(input: { contents: readonly Content[]; model: string; memory: Memory }): void {
  const { contents, model, memory } = input
  const current = contents.findLastIndex((content) => content.role === 'user' && !hasResponse(content))
  for (const [i, content] of contents.entries()) {
    for (const one of content.parts) {
      const sent = 'thoughtSignature' in one ? one.thoughtSignature : undefined
      if (sent !== undefined && sent !== foreignSignature && !memory.signed.has(sent))
        throw new Refusal('Corrupted thought signature.')
    }
    if (content.role === 'model' && i > current) checkStep({ parts: content.parts, model, memory })
  }
}

/** The first call of each step of the running turn. */
function checkStep(input: { parts: readonly Part[]; model: string; memory: Memory }): void {
  const first = input.parts.find((one) => 'functionCall' in one)
  if (!first || !('functionCall' in first)) return
  const known = input.memory.calls.get(first.functionCall.id ?? '')
  if (known?.signature !== undefined && first.thoughtSignature !== known.signature)
    throw new Refusal(`Function call \`${first.functionCall.name}\` is missing a thought_signature.`)
  if (isThird(input.model) && first.thoughtSignature === undefined)
    throw new Refusal('Function call is missing a thought_signature in functionCall parts.')
}

function hasResponse(content: Content): boolean {
  return content.parts.some((one) => 'functionResponse' in one)
}

function outputOf(body: Body): SeenOutput | undefined {
  const config = body.generationConfig
  if (config?.responseMimeType === 'application/json' && config.responseJsonSchema)
    return { by: 'native', schema: config.responseJsonSchema }
  const tool = (body.tools ?? [])
    .flatMap(({ functionDeclarations }) => functionDeclarations)
    .find(
      ({ name, description }) => /^json(_\d+)?$/.test(name) && description === 'Respond with a JSON object.',
    )
  return tool && { by: 'tool', schema: tool.parametersJsonSchema ?? {}, tool: tool.name }
}

function toToolChoice(
  config: NonNullable<Body['toolConfig']>['functionCallingConfig'] | undefined,
): ToolChoice | undefined {
  if (!config) return undefined
  const [name] = config.allowedFunctionNames ?? []
  if (config.mode === 'ANY') return name === undefined ? 'required' : { name }
  return config.mode === 'NONE' ? 'none' : 'auto'
}

function toParts(contents: readonly Content[]): SeenPart[] {
  const numbers = new CallNumbers()
  return contents.flatMap(({ role, parts }) =>
    parts.map((one) => toPart(one, { from: role === 'user' ? 'user' : 'assistant', numbers })),
  )
}

function toPart(one: Part, options: { from: 'user' | 'assistant'; numbers: CallNumbers }): SeenPart {
  const { from, numbers } = options
  const signed =
    'thoughtSignature' in one && one.thoughtSignature && one.thoughtSignature !== foreignSignature
      ? { signature: one.thoughtSignature }
      : {}
  if ('functionCall' in one) {
    const { id, name, args = {} } = one.functionCall
    const call = numbers.add(id ?? name)
    return { from: 'assistant', type: 'tool_call', call, name, arguments: args, ...signed }
  }
  if ('functionResponse' in one) {
    const { id, name, response } = one.functionResponse
    const failed = 'error' in response
    const output = failed ? response.error : 'content' in response ? response.content : response
    return {
      from: 'tool',
      type: 'tool_result',
      call: numbers.find(id ?? name),
      output: typeof output === 'string' ? output : JSON.stringify(output),
      ...(failed ? { error: true as const } : {}),
    }
  }
  if ('text' in one) {
    if (one.thought) return { from: 'assistant', type: 'reasoning', text: one.text, ...signed }
    return { from, type: 'text', text: one.text, ...signed }
  }
  return toFilePart(one, from)
}

function toFilePart(
  one: Extract<Part, { inlineData: unknown } | { fileData: unknown }>,
  from: 'user' | 'assistant',
): SeenPart {
  const type = 'inlineData' in one ? one.inlineData.mimeType : one.fileData.mimeType
  const media =
    'inlineData' in one ? { mediaType: type, base64: one.inlineData.data } : { url: one.fileData.fileUri }
  return type.startsWith('image/') && from === 'user'
    ? { from: 'user', type: 'image', media }
    : { from, type: 'file', media }
}

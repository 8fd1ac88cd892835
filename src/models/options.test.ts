import { expect, test } from 'vitest'
import { DefinitionError } from '../parse-definition.ts'
import { fromAiSdk } from './ai-sdk/ai-sdk-model.ts'
import { demoModel } from './demo.ts'
import { scriptedModel } from './scripted.ts'

const adapt = (options: object) =>
  fromAiSdk({ specificationVersion: 'v4', provider: 'p', modelId: 'm' } as never, options)
const script = (...replies: unknown[]) => scriptedModel(replies as never)
const scriptWith = (options: object) => scriptedModel(['Hello.'], options)

// What a JavaScript author can write, and the compiler would refuse.
test.each<[maker: (options: never) => unknown, given: unknown, says: string]>([
  [fromAiSdk, undefined, 'not a LanguageModelV4 of the AI SDK'],
  [adapt, { stallTimeout: 5 }, 'fromAiSdk: no such option: "stallTimeout"; there are stallTimeoutMs, '],
  [adapt, { stallTimeoutMs: '5s' }, 'fromAiSdk: stallTimeoutMs: must be a number, not text'],
  [adapt, { accepts: ['audio'] }, 'fromAiSdk: accepts.0: must be "image" or "file"'],
  [demoModel, { delay: 5 }, 'demoModel: no such option: "delay"; there are delayMs, clock'],
  [demoModel, { delayMs: 'slow' }, 'demoModel: delayMs: must be a number, not text'],
  [scriptedModel, 'Hello.', 'scriptedModel: replies: must be a list or a function'],
  [script, 5, 'scriptedModel: replies.0: must be text or an object'],
  [script, { txt: 'Hello.' }, 'scriptedModel: replies.0: no such option: "txt"; there are text, reasoning, '],
  [
    script,
    { toolCalls: [{ tool: 'x', arguments: {} }] },
    'scriptedModel: replies.0.toolCalls.0.name: must be text',
  ],
  [
    script,
    { error: { code: 'model_down' } },
    'scriptedModel: replies.0.error.code: must be a code of docs/errors.md',
  ],
  [scriptWith, { atEnd: 'again' }, 'scriptedModel: options.atEnd: must be "throw", "repeat" or "loop"'],
  [scriptWith, { atend: 'loop' }, 'scriptedModel: options: no such option: "atend"; there are id, '],
])('%o refuses %j where it is made', (maker, given, says) => {
  const make = () => maker(given as never)
  expect(make).toThrow(DefinitionError)
  expect(make).toThrow(says)
})

import { expect, test } from 'vitest'
import { DefinitionError } from '../parse-definition.ts'
import { denyList } from './deny-list.ts'
import { maxInput } from './max-input.ts'
import { redactPii, redactText } from './redact-pii.ts'
import { screenToolResults } from './screen-tool-results.ts'

const redact = (options: object) => redactText('a@example.com', options)

// What a JavaScript author can write, and the compiler would refuse: the guard would be off, and nobody would know.
test.each<[maker: (options: never) => unknown, options: object, says: string]>([
  [redactPii, { kinds: ['ssn', 'email'] }, 'redactPii: kinds.0: must be "email", "iban", "card" or "phone"'],
  [redactPii, { kinds: ['Email'] }, 'redactPii: kinds.0: must be "email", '],
  [redactPii, { kinds: 'email' }, 'redactPii: kinds: must be a list, not text'],
  [redactPii, { kinds: [] }, 'redactPii: kinds: name at least one kind'],
  [redactPii, { kind: ['email'] }, 'redactPii: no such option: "kind"; there are kinds, input, '],
  [redactPii, { replacement: 'XX' }, 'redactPii: replacement: must be a function'],
  [redactPii, { output: 'yes' }, 'redactPii: output: must be true or false, not text'],
  [redact, { kinds: ['ssn'] }, 'redactText: kinds.0: must be "email", '],
  [screenToolResults, { action: 'block' }, 'screenToolResults: action: must be "warn", "wrap" or "withhold"'],
  [screenToolResults, { screen: /ignore/ }, 'screenToolResults: screen: must be a function'],
  [screenToolResults, { actions: 'warn' }, 'screenToolResults: no such option: "actions"'],
  [denyList, { words: 'secret' }, 'denyList: words: must be a list, not text'],
  [denyList, { words: ['secret', 5] }, 'denyList: words.1: must be text, not a number'],
  [denyList, { patterns: ['\\d+'] }, 'denyList: patterns.0: must be a regular expression'],
  [denyList, { word: ['secret'] }, 'denyList: no such option: "word"; there are words, patterns, '],
  [denyList, { words: [] }, 'denyList: there are no words and no patterns'],
  [maxInput, { chars: '5' }, 'maxInput: chars: must be a number, not text'],
  [maxInput, {}, 'maxInput: chars: must be a number, not undefined'],
  [maxInput, { chars: 5, characters: 5 }, 'maxInput: no such option: "characters"; there are chars, message'],
])('%o refuses %j where it is made', (maker, options, says) => {
  const make = () => maker(options as never)
  expect(make).toThrow(DefinitionError)
  expect(make).toThrow(says)
})

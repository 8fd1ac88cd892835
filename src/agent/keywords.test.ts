import { expect, test } from 'vitest'
import { agent } from './agent.ts'
import { byKeywords } from './keywords.ts'

const choose = (keywords: Record<string, (string | { word: string; weight: number })[]>, text: string) => {
  const { specialists } = agent({
    name: 'router',
    specialists: Object.entries(keywords).map(([name, words]) => ({
      agent: agent({ name }),
      keywords: words,
    })),
  })
  return byKeywords(specialists, text)
}

test.each([
  ['Which API is it?', 'api'],
  ['the capital of France', undefined],
  ['an api-key', 'api'],
  ['rapid', undefined],
  ['API', 'api'],
  ['"api"!', 'api'],
  ['my_api', undefined],
  ['api2', undefined],
  ['', undefined],
  ['?!', undefined],
])('%j holds whole words only', (text, chosen) => {
  expect(choose({ api: ['api'] }, text)).toBe(chosen)
})

test.each([
  ['stack trace', 'Here is the STACK  TRACE:', true],
  ['stack trace', 'stack-trace', true],
  ['stack trace', 'a trace of the stack', false],
  ['C++', 'Is c++ fast?', true],
  ['C++', 'vitamin C', false],
  ['c', 'C++', false],
  ['C#', 'C#, please', true],
  ['python', 'the tag #python', true],
  ['api', 'api+web', true],
  ['.NET', 'use .net here', true],
  ['straße', 'In der STRASSE', true],
  ['Café', 'cafe\u0301', true],
  ['ОБЛАКО', 'в облако', true],
  ['обла', 'в облако', false],
  ['οδός', 'ΟΔΌΣ', true],
  ['代码', '请帮我写代码吧', true],
  ['代码', '代 码', true],
  ['コード', 'コードを書いて', true],
  ['โค้ด', 'เขียนโค้ดให้หน่อย', true],
  ['हिन्दी', 'यह हिन्दी है', true],
  ['हिन्द', 'यह हिन्दी है', false],
  ['api', '这个api怎么用', true],
  ['코드', '이 코드 좀', true],
])('%j in %j: %s', (word, text, found) => {
  expect(choose({ it: [word] }, text)).toBe(found ? 'it' : undefined)
})

test('the greatest sum of weights decides, a word counts once, and the first of equals is taken', () => {
  const keywords = {
    a: ['one', 'two'],
    b: [{ word: 'three', weight: 2.5 }],
    c: ['one', 'two'],
  }
  expect(choose(keywords, 'one two three')).toBe('b')
  expect(choose(keywords, 'one one one one three')).toBe('b')
  expect(choose(keywords, 'two one')).toBe('a')
})

test('a keyword without a letter or a digit is refused at once', () => {
  expect(() =>
    agent({ name: 'r', specialists: [{ agent: agent({ name: 'a' }), keywords: ['??'] }] }),
  ).toThrow(/keyword "\?\?" of a has neither/)
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cutEnd, cutMiddle, cutText } from './cut-text.ts'

test('a text that is short enough stays as it is', () => {
  for (const cut of [cutText, cutEnd, cutMiddle]) {
    expect(cut('', 0)).toBe('')
    expect(cut('abc', 3)).toBe('abc')
  }
})

test('a longer one keeps its beginning, or its beginning and its end, and shows that it was cut', () => {
  expect(cutText('abcdef', 4)).toBe('abcd\n[cut: 2 of 6 characters are missing]')
  expect(cutEnd('abcdef', 4)).toBe('abcd…')
  expect(cutMiddle('abcdefghijkl', 11)).toBe('abc\n[…]\njkl')
})

test('where there is no room for the mark in the middle, the beginning is kept', () => {
  expect(cutMiddle('abcdefgh', 6)).toBe('abcdef')
  expect(cutMiddle('abcdefgh', 1)).toBe('a')
  expect(cutMiddle('abcdefgh', 0)).toBe('')
  expect(cutMiddle('abcdefgh', -5)).toBe('')
})

test('no cut leaves half a character, and one in the middle is never longer than allowed', () => {
  const characters = fc.array(fc.constantFrom('a', 'é', '😀', '👩‍🚀'), { maxLength: 30 })
  fc.assert(
    fc.property(characters, fc.nat(60), (list, maxChars) => {
      const text = list.join('')
      const cut = [cutText(text, maxChars), cutEnd(text, maxChars), cutMiddle(text, maxChars)]
      expect(cut.every((one) => one.isWellFormed())).toBe(true)
      expect(cut[2]!.length).toBeLessThanOrEqual(maxChars)
    }),
  )
})

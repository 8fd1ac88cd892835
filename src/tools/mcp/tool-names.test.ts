import { expect, test } from 'vitest'
import { toToolNames } from './tool-names.ts'

const namesOf = (prefix: string, names: string[]) => Object.fromEntries(toToolNames(prefix, names))

test('a name that providers accept keeps its form', () => {
  expect(namesOf('files_', ['read', 'list-all'])).toEqual({
    read: 'files_read',
    'list-all': 'files_list-all',
  })
})

test('other characters become underscores', () => {
  expect(namesOf('my files/', ['read.text'])).toEqual({ 'read.text': 'my_files_read_text' })
})

test('two names that would be one are told apart, whatever their order', () => {
  const forward = namesOf('', ['a.b', 'a_b', 'a/b'])
  expect(forward['a_b']).toBe('a_b')
  expect(new Set(Object.values(forward)).size).toBe(3)
  expect(namesOf('', ['a/b', 'a_b', 'a.b'])).toEqual(forward)
})

test('a long name is cut, and still another than one that begins like it', () => {
  const names = [`${'x'.repeat(70)}a`, `${'x'.repeat(70)}b`]
  const found = Object.values(namesOf('p_', names))
  expect(new Set(found).size).toBe(2)
  for (const name of found) expect(name).toMatch(/^p_x{53}_[0-9a-f]{8}$/)
})

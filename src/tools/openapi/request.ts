import { AppError } from '../../errors.ts'
import type { CallShape, Field } from './call-shape.ts'
import { isObject, type OpenapiOperation } from './document.ts'

export interface ApiRequest {
  url: URL
  headers: Record<string, string>
  body?: string
}

/**
 * The request for one call (OpenAPI, "Style Values"). Throws `tool_bad_arguments` where a value would lead to another path
 * than the operation's.
 */
export function buildRequest(options: {
  operation: OpenapiOperation
  shape: CallShape
  /** Of the server; its path stands before the operation's. */
  base: URL
  input: Readonly<Record<string, unknown>>
}): ApiRequest {
  const { operation, shape, base, input } = options
  const given = shape.fields.filter(({ key }) => input[key] !== undefined)
  const path = fillPath(operation.path, { fields: given, input })
  const url = new URL(base.href.replace(/[?#].*$/, '').replace(/\/+$/, '') + path)
  for (const field of given.filter((one) => one.in === 'query')) {
    for (const [name, value] of queryPairs(field, input[field.key])) url.searchParams.append(name, value)
  }
  const headers = given
    .filter((one) => one.in === 'header')
    .map((field) => [field.name, simple(field, input[field.key])])
  const { body } = input
  return {
    url,
    headers: {
      ...(Object.fromEntries(headers) as Record<string, string>),
      ...(shape.bodyType === undefined || body === undefined ? {} : { 'content-type': shape.bodyType }),
    },
    ...(shape.bodyType === undefined || body === undefined ? {} : { body: JSON.stringify(body) }),
  }
}

function fillPath(
  template: string,
  { fields, input }: { fields: readonly Field[]; input: Readonly<Record<string, unknown>> },
): string {
  const path = template.replaceAll(/\{([^{}]+)\}/g, (placeholder, name: string) => {
    const field = fields.find((one) => one.in === 'path' && one.name === name)
    return field ? filled(field, input[field.key]) : placeholder
  })
  // The parser of URLs would climb: `/pets/..` is `/`. So would a proxy that reads `%2F` as a slash.
  const climbs = (segment: string) => /^(?:\.|%2e){1,2}$/i.test(segment)
  const segments = path.split(/[?#]/)[0]?.split(/\/|%2f|\\|%5c/i) ?? []
  if (segments.some(climbs))
    throw badValue('A value in the path must not be "." or "..", nor hold them between slashes.')
  return path
}

/** An empty value would make another path of it: `DELETE /pets/` for `DELETE /pets/{petId}`. */
function filled(field: Field, value: unknown): string {
  const text = simple(field, value, encode)
  if (text === '') throw badValue(`${field.key}: must not be empty.`)
  return text
}

function badValue(message: string): AppError {
  return new AppError('tool_bad_arguments', { message })
}

/** A lone half of a character has no encoding. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

/** `a,b`; of an object `k,v` or, exploded, `k=v`. */
function simple(field: Field, value: unknown, write: (text: string) => string = (text) => text): string {
  if (field.json) return write(JSON.stringify(value))
  if (Array.isArray(value)) return value.map((item) => write(textOf(item))).join(',')
  if (!isObject(value)) return write(textOf(value))
  const separator = field.explode ? '=' : ','
  return Object.entries(value)
    .map(([key, item]) => `${write(key)}${separator}${write(textOf(item))}`)
    .join(',')
}

const joints: Record<string, string> = { spaceDelimited: ' ', pipeDelimited: '|' }

function queryPairs(field: Field, value: unknown): [string, string][] {
  const { name, style, explode } = field
  if (field.json) return [[name, JSON.stringify(value)]]
  if (style === 'deepObject' && typeof value === 'object' && value !== null) return deepPairs(name, value)
  if (Array.isArray(value)) {
    const items = value.map(textOf)
    return explode ? items.map((item) => [name, item]) : [[name, items.join(joints[style] ?? ',')]]
  }
  if (!isObject(value)) return [[name, textOf(value)]]
  const entries = Object.entries(value).map(([key, item]): [string, string] => [key, textOf(item)])
  return explode ? entries : [[name, entries.flat().join(',')]]
}

/** `filter[status]=new`, and deeper as most servers read it. */
function deepPairs(name: string, value: object): [string, string][] {
  return Object.entries(value).flatMap(([key, item]: [string, unknown]) =>
    typeof item === 'object' && item !== null
      ? deepPairs(`${name}[${key}]`, item)
      : [[`${name}[${key}]`, textOf(item)]],
  )
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (value === null || value === undefined) return ''
  return JSON.stringify(value)
}

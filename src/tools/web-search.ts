import { z } from 'zod'
import type { Tool } from '../agent/definitions.ts'
import { parseDefinition } from '../parse-definition.ts'
import { tool } from '../agent/tool.ts'
import { loadSettings } from '../config.ts'
import { AppError } from '../errors.ts'
import { hostOf, parseHosts } from './host-list.ts'
import { createSafeFetch, type SafeFetch, type SafeRequest, type SafeResponse } from './safe-fetch.ts'
import { plainText } from './plain-text.ts'

export interface WebSearchInput {
  query: string
  num_results: number
}

export interface WebSearchResult {
  title: string
  url: string
  snippet: string
}

export interface WebSearchOptions {
  /** Of the Brave Search API. Used where both keys are given. */
  braveApiKey?: string
  /** Of serper.dev. */
  serperApiKey?: string
  /** Of a stand-in that speaks the API of the key, such as a proxy of your own; it may be in a private network. */
  baseURL?: string
}

interface Engine {
  /** For people. */
  name: string
  origin: string
  request(input: WebSearchInput): Omit<SafeRequest, 'url'> & { path: string }
  /** The results in an answer; throws where it has another shape. */
  read(answer: unknown): { title: string; url: string; snippet: string }[]
}

const maxSnippetChars = 500
const timeoutMs = 10_000
const cacheMs = 5 * 60_000

const notConfigured =
  'Web search is not configured on this server: set WEB_SEARCH_API_KEY (Brave Search) or SERPER_API_KEY (serper.dev). ' +
  'Answer from what you know, and say that you could not search.'

const optionsSchema = z.strictObject({
  braveApiKey: z.string().optional(),
  serperApiKey: z.string().optional(),
  baseURL: z.url({ protocol: /^https?$/ }).optional(),
})

/** Searches the web with the key of the settings `WEB_SEARCH_API_KEY` (Brave) or `SERPER_API_KEY`. Without one it says so. */
export const webSearch = searchTool(() => {
  const { webSearchApiKey, serperApiKey } = loadSettings()
  return { braveApiKey: webSearchApiKey, serperApiKey }
})

/** The same with keys of your own. Throws a `DefinitionError` on what is not one of its options. */
export function createWebSearch(options: WebSearchOptions): Tool<WebSearchInput> {
  parseDefinition({ what: 'createWebSearch', schema: optionsSchema, options })
  return searchTool(() => options)
}

type Keys = { [K in keyof WebSearchOptions]: WebSearchOptions[K] | undefined }

function searchTool(keysOf: () => Keys): Tool<WebSearchInput> {
  return tool({
    name: 'web_search',
    description:
      'Searches the web, and returns titles, URLs and snippets of pages. For news and facts you are not sure of.',
    input: z.strictObject({
      query: z.string().trim().min(1).max(400).describe('What you would type into a search engine.'),
      num_results: z.int().min(1).max(10).default(5),
    }),
    effect: 'read',
    timeoutMs,
    retries: 2,
    cache: { ttlMs: cacheMs },
    async execute(input, { signal }) {
      const keys = keysOf()
      const engine = engineFor(keys)
      if (!engine) return notConfigured
      const { path, ...request } = engine.request(input)
      const url = `${(keys.baseURL ?? engine.origin).replace(/\/+$/, '')}${path}`
      const response = await fetchFrom(url)({ ...request, url, repeatable: true, signal })
      return { results: toResults(engine, response).slice(0, input.num_results) }
    },
  })
}

/** The author chose the host, also a private one; a redirect could only lead away from it. */
function fetchFrom(url: string): SafeFetch {
  const hosts = parseHosts([hostOf(new URL(url))], 'web_search')
  return createSafeFetch({ hosts, privateHosts: hosts, maxRedirects: 0, timeoutMs: timeoutMs + 1000 })
}

function engineFor({ braveApiKey, serperApiKey }: Keys): Engine | undefined {
  if (braveApiKey) return brave(braveApiKey)
  return serperApiKey ? serper(serperApiKey) : undefined
}

/** https://api-dashboard.search.brave.com/api-reference/web/search/get */
function brave(key: string): Engine {
  return {
    name: 'Brave Search',
    origin: 'https://api.search.brave.com',
    request: ({ query, num_results }) => ({
      path: `/res/v1/web/search?${new URLSearchParams({ q: query, count: String(num_results) }).toString()}`,
      headers: { accept: 'application/json', 'x-subscription-token': key },
    }),
    read: (answer) => {
      const { web } = braveAnswer.parse(answer)
      return (web?.results ?? []).map(({ title, url, description }) => ({ title, url, snippet: description }))
    },
  }
}

/** https://serper.dev */
function serper(key: string): Engine {
  return {
    name: 'Serper',
    origin: 'https://google.serper.dev',
    request: ({ query, num_results }) => ({
      path: '/search',
      method: 'POST',
      headers: { accept: 'application/json', 'content-type': 'application/json', 'x-api-key': key },
      body: JSON.stringify({ q: query, num: num_results }),
    }),
    read: (answer) =>
      (serperAnswer.parse(answer).organic ?? []).map(({ title, link, snippet }) => ({
        title,
        url: link,
        snippet,
      })),
  }
}

const text = z.string().catch('')
/** Without `web` where nothing was found. */
const braveAnswer = z.object({
  web: z.object({ results: z.array(z.object({ title: text, url: text, description: text })) }).nullish(),
})
const serperAnswer = z.object({
  organic: z.array(z.object({ title: text, link: text, snippet: text })).nullish(),
})

function toResults(engine: Engine, response: SafeResponse): WebSearchResult[] {
  if (response.status !== 200) throw failureOf(engine, response.status)
  let found
  try {
    found = engine.read(JSON.parse(response.body.toString('utf8')))
  } catch (error) {
    throw new AppError('tool_failed', {
      message: `${engine.name} sent an answer that cannot be read.`,
      retryable: true,
      cause: error,
    })
  }
  return found
    .filter(({ url }) => /^https?:\/\//i.test(url))
    .map(({ title, url, snippet }) => ({
      title: plainText(title, maxSnippetChars),
      url,
      snippet: plainText(snippet, maxSnippetChars),
    }))
}

/** Says nothing of what was sent: an error page may repeat the key. */
function failureOf({ name }: Engine, status: number): AppError {
  const retryable = status === 429 || status >= 500
  if (status === 429)
    return new AppError('tool_failed', { message: `${name} limits the rate of searches.`, retryable })
  if (status === 401 || status === 403) {
    return new AppError('tool_failed', { message: `${name} refuses the key of this server.` })
  }
  return new AppError('tool_failed', { message: `${name} answered with HTTP ${status}.`, retryable })
}

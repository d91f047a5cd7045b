//! PromQL: lexer, parser, typed tree, evaluator.

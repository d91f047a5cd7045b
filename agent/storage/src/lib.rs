//! The waist: Appender, FrameSink, FrameSource, Querier, Coverage.

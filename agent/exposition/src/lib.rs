//! Text 0.0.4 and OpenMetrics to and from the model.
